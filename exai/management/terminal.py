"""What is written to a terminal."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ANY_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def fit_for(stream: Any, text: str) -> str:
    """A terminal obeys control characters, and a model's text is not to be obeyed: there they become U+FFFD."""
    return _CONTROL.sub("\ufffd", text) if stream.isatty() else text


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, the last one as long as it is; each row one line, whatever its cells hold."""
    lines = [heads, *([_ANY_CONTROL.sub(" ", str(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def shown_time(moment: datetime) -> str:
    """In the zone of EXAI_TIME_ZONE, which it names."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z")

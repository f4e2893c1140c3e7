"""What was read of a file."""

import re

import msgspec

# PostgreSQL stores no NUL, and models and terminals have no use for the others. Tab, line end and form feed stay.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Extracted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either `problem` says in a sentence why nothing could be read, or `text` or `image` hold what was read.

    A text may come with a `problem` where reading broke off: then `cut` is true.
    """

    text: str = ""  # lines end with \n; without NUL and other control characters
    image: str = ""  # a data: URL of image/png or image/jpeg
    parts: str = ""  # what was read of how much, as in "pages 1-500 of 10,000"
    cut: bool = False  # whether there is more than what was read
    problem: str = ""


def clean(text: str) -> str:
    """With line ends as \\n, and what cannot be stored or shown as U+FFFD."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("\ufffd", text)

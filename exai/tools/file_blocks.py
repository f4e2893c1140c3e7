"""How a message shows a file to a model, so that no content can pass for anything else.

A block ends at the line that names its file's id. The hub draws the id at random when the content is there already, so
no content can hold its own; and it stays the same from turn to turn, which keeps the vendors' prompt caches.
"""

import json
import unicodedata
from collections.abc import Iterable

from exai.protocol.values import FileMention
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # controls, directions, lines: no name needs them


def block(file: FileMention, text: str, *, parts: str = "") -> str:
    """A file's text between two lines of the hub."""
    about = f" ({_plain(parts)})" if parts else ""
    return f"=== FILE {file.id} {_quoted(file.name)}{about} ===\n{text}\n=== END OF FILE {file.id} ==="


def note(file: FileMention, what: str) -> str:
    """A line about a file that is not shown here."""
    return f"=== FILE {file.id} {_quoted(file.name)}: {_plain(what)} ==="


def tokens_around(file: FileMention, parts: str = "") -> int:
    """An estimate for what a block adds to the text inside, or for a note."""
    return estimate_tokens(block(file, "", parts=parts)) + TOKENS_PER_MESSAGE


def message(prompt: str, shown: Iterable[str]) -> str:
    """A user's message: what is asked first, then the files."""
    return "\n\n".join((prompt, *shown))


def _quoted(name: str) -> str:
    return json.dumps(_plain(name), ensure_ascii=False)


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(character) in _UNSEEN else character for character in text)

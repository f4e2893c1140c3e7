"""What was read of a file."""

import re

import msgspec

# PostgreSQL stores no NUL, and models and terminals have no use for the others. Tab, line end and form feed stay.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# No other Python runs while one piece is looked through: of megabytes that would be most of a second.
_PIECE_CHARACTERS = 16_384


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
    """With line ends as \\n, and what cannot be stored or shown as U+FFFD. Lets other threads in now and then."""
    pieces = []
    at = 0
    while at < len(text):
        end = at + _PIECE_CHARACTERS
        if text[end - 1 : end] == "\r":  # its line end may be of two characters
            end += 1
        pieces.append(_clean_piece(text[at:end]))
        at = end
    return "".join(pieces)


def _clean_piece(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("\ufffd", text)

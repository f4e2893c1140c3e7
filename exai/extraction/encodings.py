"""How the bytes of a text are to be decoded, told from a piece of it."""

import codecs
import re

from charset_normalizer import from_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Without tab, line ends, form feed, and the backspace and escape of terminal output.
_BINARY = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")
_LONGEST_GUESSED = 8_192  # bytes; charset-normalizer then takes 1 to 45 ms
# What texts still come in. Left the choice of all, charset-normalizer takes a line of Western text for cp775.
_LEGACY = ("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp932", "euc_jp", "gb18030", "big5", "cp949")
_SHARE_OF_DAMAGE = 0.1


def encoding_of(head: bytes) -> str | None:
    """The codec for a text that begins so; None where these are not the bytes of a text.

    The head may end within a character.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if _BINARY.search(head):
        return None
    if head.isascii() or _mostly_utf8(head):
        return "utf-8"
    return _legacy_encoding(head)


def looks_binary(piece: bytes) -> bool:
    """Whether a piece from the middle of a file holds what no text does. Not for UTF-16 and UTF-32."""
    return _BINARY.search(piece) is not None


def _mostly_utf8(head: bytes) -> bool:
    """A few broken bytes do not make a UTF-8 text one of another encoding."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        decoded = head.decode("utf-8", "replace")
        beyond_ascii = sum(1 for character in decoded if character > "\x7f")
        return decoded.count("\ufffd") <= beyond_ascii * _SHARE_OF_DAMAGE
    return True


def _legacy_encoding(head: bytes) -> str | None:
    telling = b"\n".join([line for line in head.split(b"\n") if not line.isascii()])[:_LONGEST_GUESSED]
    matches = from_bytes(telling, cp_isolation=list(_LEGACY))
    if not matches:
        return None
    # Of equals the one that is in wider use: it stands further to the front.
    best = min(matches, key=lambda match: (match.chaos, -match.coherence, _LEGACY.index(match.encoding)))
    # Too little of a language to know: then what most such files were written in.
    return best.encoding if best.coherence else "cp1252"

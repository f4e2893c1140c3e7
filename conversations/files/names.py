"""Names of files: theirs on the machine that they come from, made safe to show, to store and to write into a header."""

import unicodedata

LONGEST_NAME = 255  # bytes of UTF-8
_LONGEST_SUFFIX = 32  # bytes
_NAMELESS = "file"
# Control characters; format characters, which turn the direction of text or hide in it; halves of characters; what is
# no character; line and paragraph separators.
_LEFT_OUT = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_LONGEST_READ = 65_536  # characters; no name is as long


def clean_name(given: str) -> str:
    """The last part of a path of either separator, without what is not seen, composed (NFC), of at most
    `LONGEST_NAME` bytes with its suffix kept; never empty."""
    last = given[-_LONGEST_READ:].replace("\\", "/").rstrip("/").rpartition("/")[2]
    composed = unicodedata.normalize("NFC", last)
    seen = "".join(
        " " if character.isspace() else character
        for character in composed
        if unicodedata.category(character) not in _LEFT_OUT
    )
    name = seen.strip()
    if not name.strip(". "):
        return _NAMELESS
    return _shortened(name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST_NAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    kept = dot + suffix
    if not stem or len(kept.encode()) > _LONGEST_SUFFIX:
        stem, kept = name, ""
    room = LONGEST_NAME - len(kept.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + kept

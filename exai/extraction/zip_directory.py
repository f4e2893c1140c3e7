"""The names in a ZIP's central directory, read without trusting it. https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.9.TXT

`zipfile` would read all of the directory into memory, and that can be as large as the file.
"""

import struct
from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")  # 4.3.16; the directory's size and offset are its sixth and seventh field
_ENTRY = struct.Struct("<4s6H3L5H2L")  # 4.3.12; the lengths of name, extra field and comment are 11th to 13th
_LONGEST_COMMENT = 65_535
_MOST_BYTES = 1024 * 1024
_MOST_NAMES = 5_000


def zip_names(file: BinaryIO, size: int) -> frozenset[str]:
    """The first names, with `/` between folders; none where there is no directory that can be read."""
    tail_length = min(size, _END.size + _LONGEST_COMMENT)
    file.seek(size - tail_length)
    tail = file.read(tail_length)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return frozenset()
    directory_size = _END.unpack_from(tail, at)[5]
    # Where the directory ends, not where it says to begin: something may have been put before the archive.
    begin = size - tail_length + at - directory_size
    if begin < 0:
        return frozenset()
    file.seek(begin)
    return _names(file.read(min(directory_size, _MOST_BYTES)))


def _names(directory: bytes) -> frozenset[str]:
    names: set[str] = set()
    at = 0
    while len(names) < _MOST_NAMES and len(directory) - at >= _ENTRY.size:
        fields = _ENTRY.unpack_from(directory, at)
        if fields[0] != b"PK\x01\x02":
            break
        name_length, extra_length, comment_length = fields[10:13]
        at += _ENTRY.size
        names.add(directory[at : at + name_length].decode("utf-8", "replace"))
        at += name_length + extra_length + comment_length
    return frozenset(names)

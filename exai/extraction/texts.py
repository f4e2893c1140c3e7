"""Plain text and code. No library touches it, so it needs no process of its own."""

import codecs
from typing import BinaryIO

from exai.extraction.encodings import encoding_of
from exai.extraction.extracted import Extracted, clean
from exai.extraction.limits import Limits

_HEAD_BYTES = 65_536
_BLOCK_BYTES = 262_144


def read_text(file: BinaryIO, limits: Limits) -> Extracted:
    """Reads no more than the limit needs, whatever the file's size. Raises `OSError`."""
    head = file.read(_HEAD_BYTES)
    encoding = encoding_of(head)
    if encoding is None:
        return Extracted(problem="It is not text.")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    pieces = [decoder.decode(head)]
    length = len(pieces[0])
    while length <= limits.characters and (block := file.read(_BLOCK_BYTES)):
        pieces.append(decoder.decode(block))
        length += len(pieces[-1])
    cut = length > limits.characters
    if not cut:
        pieces.append(decoder.decode(b"", final=True))
    text = clean("".join(pieces)[: limits.characters])
    if not text:
        return Extracted(parts="nothing: the file is empty")
    return Extracted(text=text, parts=_parts(text, cut), cut=cut)


def _parts(text: str, cut: bool) -> str:
    if not cut:
        return ""
    return f"the first {len(text):,} characters, lines 1-{text.count(chr(10)) + 1:,}"

"""PDFs written by hand: quickly, and wrong in chosen ways. https://opensource.adobe.com/dc-acrobat-sdk-docs/pdfstandards/PDF32000_2008.pdf"""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def write_pdf(path: Path, texts: Sequence[str]) -> Path:
    """A page for each text, all under one node; an empty text makes a page without any."""
    objects: dict[int, bytes] = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 3: _FONT}
    kids = []
    for number, text in enumerate(texts):
        page, content = 4 + 2 * number, 5 + 2 * number
        kids.append(b"%d 0 R" % page)
        objects[page] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % content
        )
        objects[content] = stream(b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text.encode("latin-1") if text else b"")
    objects[2] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(texts), b" ".join(kids))
    return write_objects(path, objects)


def stream(content: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), more, content)


def packed(content: bytes, times: int) -> bytes:
    """The stream of so many repetitions, which never are in memory."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(content) for _ in range(times)]
    return stream(b"".join(pieces) + packer.flush(), b"/Filter /FlateDecode")


def write_objects(path: Path, objects: Mapping[int, bytes]) -> Path:
    """Object 1 is the catalogue."""
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, content in objects.items():
        places[number] = len(written)
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    begin = len(written)
    size = max(objects) + 1
    written += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        written += b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n"
    written += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, begin)
    path.write_bytes(written)
    return path

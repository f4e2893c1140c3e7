"""A file's type is told by what is in it."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from exai.extraction.sniffing import sniff
from tests.extraction.packages import document, presentation, put, workbook

OFFICE = "application/vnd.openxmlformats-officedocument."


def told(content: bytes, name: str = "") -> tuple[str, str]:
    found = sniff(io.BytesIO(content), name=name)
    return found.mime_type, found.problem


def archive(*names: str, first: bytes | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        if first is not None:
            opened.writestr("mimetype", first)
        for name in names:
            opened.writestr(name, "content")
    return made.getvalue()


def compound(stream: str) -> bytes:
    """An OLE file whose directory, in its second sector, names one stream."""
    head = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(1024, b"\0"))
    head[30:32], head[48:52] = b"\x09\0", b"\x01\0\0\0"
    directory = "Root Entry".encode("utf-16-le").ljust(128, b"\0") + stream.encode("utf-16-le").ljust(128, b"\0")
    return bytes(head) + directory.ljust(512, b"\0")


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp", "tiff"])
def test_pictures_are_told(kind: str) -> None:
    made = io.BytesIO()
    Image.new("RGB", (8, 8)).save(made, kind)
    found = sniff(made, name="a.txt")
    assert (found.mime_type, found.problem, found.is_image) == (f"image/{kind}", "", True)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (document, "wordprocessingml.document"),
        (workbook, "spreadsheetml.sheet"),
        (presentation, "presentationml.presentation"),
    ],
)
def test_office_documents_are_told_whatever_their_name_says(make: object, kind: str) -> None:
    content = make()  # type: ignore[operator]
    for name in ("a.txt", "a.pdf", "a.zip", ""):
        assert told(content, name) == (OFFICE + kind, "")


def test_an_archive_is_told_from_its_directory_although_something_stands_before_or_after_it() -> None:
    assert told(document() + b"\0" * 500)[0].endswith("wordprocessingml.document")
    assert told(b"PK\x03\x04" + b"before" * 100 + document())[0].endswith("wordprocessingml.document")


@pytest.mark.parametrize(
    ("content", "mime_type", "reason"),
    [
        (archive("a.txt"), "application/zip", "It is an archive"),
        (archive(), "application/zip", "It is an archive"),
        (archive("META-INF/MANIFEST.MF"), "application/java-archive", "program"),
        (archive(first=b"application/vnd.oasis.opendocument.text"), "application/vnd.oasis.opendocument.text", ".docx"),
        (archive(first=b"application/epub+zip"), "application/epub+zip", "e-book"),
        (archive("[Content_Types].xml", "xl/workbook.bin"), "application/vnd.ms-excel.sheet.binary", ".xlsx"),
        (compound("WordDocument"), "application/msword", "save it as .docx"),
        (compound("Workbook"), "application/vnd.ms-excel", "save it as .xlsx"),
        (compound("PowerPoint Document"), "application/vnd.ms-powerpoint", "save it as .pptx"),
        (compound("EncryptedPackage"), "application/x-ole-storage", "password"),
        (compound("Other"), "application/x-ole-storage", "old Office"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", "old Office"),
        (b"\x7fELF\x02\x01\x01", "application/x-executable", "program"),
        (b"MZ\x90\x00\x03", "application/vnd.microsoft.portable-executable", "program"),
        (b"\x1f\x8b\x08\x00", "application/gzip", "archive"),
        (b"ID3\x03\x00\x00", "audio/mpeg", "sound"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", "sound"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", "video"),
        (b"\x00\x00\x00\x18ftypheic", "image/heic", "PNG or JPEG"),
        (b"SQLite format 3\x00", "application/vnd.sqlite3", "database"),
        (random.Random(5).randbytes(5_000), "application/octet-stream", "neither text"),
    ],
)
def test_what_cannot_be_read_is_told_with_a_reason(content: bytes, mime_type: str, reason: str) -> None:
    found = told(content, "report.docx")
    assert found[0].startswith(mime_type)
    assert reason in found[1]


def test_a_tar_is_told() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("a.txt"))
    assert told(made.getvalue())[0] == "application/x-tar"


@pytest.mark.parametrize(
    ("content", "name", "mime_type"),
    [
        (b"print(1)", "a.py", "text/x-python"),
        (b"print(1)", "a.docx", "text/plain"),
        (b"print(1)", "", "text/plain"),
        (b"# Title", "README.md", "text/markdown"),
        (b"a,b\n", "A.CSV", "text/csv"),
        (b'{"cells": 1}', "a.json", "application/json"),
        (b"<svg/>", "a.svg", "text/plain"),
        (b"", "a.py", "text/x-python"),
        (b"%PDF-1.7 with no more", "", "application/pdf"),
        (b"\n%PDF-1.7\n", "", "application/pdf"),
        (b"\x00\x01junk\n%PDF-1.7\n", "", "application/pdf"),
        (b"MZ is also how a text may begin", "", "text/plain"),
        (b"BM, a text", "", "text/plain"),
        (b"How a PDF begins: %PDF-1.7", "", "text/plain"),
        ("text".encode("utf-16"), "", "text/plain"),
        (b'{"cells": [], "metadata": {}, "nbformat": 4}', "a.txt", "application/x-ipynb+json"),
        (b'{"cells": [' + b" " * 100_000 + b'], "nbformat": 4}', "", "application/x-ipynb+json"),
        (b"text\n" * 20_000 + b"\x00" + b"text\n" * 60_000, "", "text/plain"),
        (b"text\n" * 20_000 + b"\x00", "", "application/octet-stream"),
    ],
)
def test_texts_are_told_by_their_content_and_then_by_their_name(content: bytes, name: str, mime_type: str) -> None:
    assert told(content, name)[0] == mime_type


class Counting(io.BytesIO):
    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.read_bytes += len(content)
        return content


@pytest.mark.parametrize(
    "begin",
    [b"text ", b"\x00\x01", b"PK\x03\x04", b"%PDF-1.7", b"{", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\xe4\xf6 "],
)
def test_of_a_large_file_only_a_little_is_read(begin: bytes) -> None:
    file = Counting(begin * (20_000_000 // len(begin)) + b"PK\x05\x06" + b"\0" * 8 + b"\xff\xff\xff\x00" * 2 + b"\0\0")
    sniff(file)
    assert file.read_bytes < 1_300_000


def test_a_directory_of_many_names_is_not_read_to_its_end() -> None:
    entry = b"PK\x01\x02" + bytes(24) + b"\x01\0" + bytes(16) + b"n"
    directory = entry * 200_000
    size = len(directory).to_bytes(4, "little")
    file = Counting(b"PK\x03\x04" + directory + b"PK\x05\x06" + bytes(8) + size + bytes(6))
    assert sniff(file).mime_type == "application/zip"
    assert file.read_bytes < 1_300_000


def test_a_path_is_sniffed_as_well(tmp_path: Path) -> None:
    assert sniff(put(tmp_path / "a.py", b"print(1)"), name="a.py").mime_type == "text/x-python"
    with pytest.raises(FileNotFoundError):
        sniff(tmp_path / "missing")

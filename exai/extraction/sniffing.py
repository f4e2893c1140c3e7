"""A file's type by its content. Neither its name nor what a client says of it counts.

Constant work for a file of any size: its first 64 KiB, two short pieces of it, and of a ZIP at most 1 MiB of directory.
"""

import mimetypes
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from exai.extraction.archives import kind_of_archive
from exai.extraction.encodings import encoding_of, looks_binary
from exai.extraction.mime_types import DOCUMENTS, IMAGES, NOTEBOOK, OCTET_STREAM, OLE, PDF, ZIP
from exai.extraction.ole import kind_of_ole
from exai.extraction.signatures import by_signature
from exai.extraction.zip_directory import zip_names

_HEAD_BYTES = 65_536
_PIECE_BYTES = 4_096
_LONGEST_SUFFIX = 20
# The types of names as Python ships them: those of the machine would differ from one hub to the next.
_TYPES_OF_NAMES = mimetypes.MimeTypes()
_TYPES_OF_NAMES.add_type("text/markdown", ".md")
_TEXTS_BESIDE_TEXT = {"application/json", "application/javascript", "application/x-sh", "application/sql"}


class Sniffed(msgspec.Struct, frozen=True):
    mime_type: str
    problem: str = ""  # a sentence that says why such a file cannot be read for a model

    @property
    def is_image(self) -> bool:
        """Whether a model is shown it. SVG is text."""
        return self.mime_type in IMAGES

    @property
    def is_document(self) -> bool:
        return self.mime_type in DOCUMENTS

    @property
    def is_text(self) -> bool:
        return not self.problem and not self.is_image and not self.is_document


def sniff(file: Path | BinaryIO, *, name: str = "") -> Sniffed:
    """`file`: a path, or a file that can seek, whose position is moved. `name` only tells kinds of text apart.

    Takes some milliseconds. Raises `OSError` where the file cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return sniff(opened, name=name)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    found = by_signature(head)
    if found is None:
        return _text_or_unknown(head, file, size, name)
    if found.mime_type == ZIP:
        return Sniffed(*kind_of_archive(head, zip_names(file, size)))
    if found.mime_type == OLE:
        return Sniffed(*kind_of_ole(head, file))
    return Sniffed(found.mime_type, found.problem)


def _text_or_unknown(head: bytes, file: BinaryIO, size: int, name: str) -> Sniffed:
    encoding = encoding_of(head)
    if encoding is None:
        return _unknown(head)
    middle, tail = _piece(file, size // 2), _piece(file, max(0, size - _PIECE_BYTES))
    if encoding not in {"utf-16", "utf-32"} and (looks_binary(middle) or looks_binary(tail)):
        return _unknown(head)
    return Sniffed(_type_of_text(head, tail, name))


def _unknown(head: bytes) -> Sniffed:
    if b"%PDF-" in head[:1024]:  # readers take a PDF after a kilobyte of anything
        return Sniffed(PDF)
    return Sniffed(OCTET_STREAM, "It is neither text nor of a kind that the hub can read.")


def _piece(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(_PIECE_BYTES)


def _type_of_text(head: bytes, tail: bytes, name: str) -> str:
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    # A notebook's keys are sorted: its cells come first, and `nbformat` ends it.
    if begin.startswith(b"{") and b'"cells"' in head and b'"nbformat"' in head + tail:
        return NOTEBOOK
    if begin.startswith(b"%PDF-"):
        return PDF
    suffix = name[-_LONGEST_SUFFIX:].rpartition(".")[2].lower()
    named, packed = _TYPES_OF_NAMES.guess_type(f"text.{suffix}") if suffix.isalnum() else (None, None)
    if named and not packed and (named.startswith("text/") or named in _TEXTS_BESIDE_TEXT):
        return named
    return "text/plain"

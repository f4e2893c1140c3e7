"""Whether an Office document is fit to be given to a library: its ZIP's sizes, and that no part declares a DTD.

A part's declared size is also the most that `zipfile` unpacks of it, so a directory that lies is found out as damage.
Entities need a DTD, and the format allows none: https://ecma-international.org/publications-and-standards/standards/ecma-376/
(part 2, 8.1.4).
"""

import zipfile
from typing import BinaryIO

from defusedxml.common import DTDForbidden
from defusedxml.ElementTree import ParseError, iterparse

from exai.extraction.gathered import Unreadable
from exai.extraction.limits import Limits

_MEBIBYTE = 1024 * 1024
_MOST_PARTS = 10_000
_XML = (".xml", ".rels", ".vml")
# Pictures and the like are loaded along by the libraries, but not parsed. They hardly shrink when packed.
_MEDIA_TO_XML = 4


def check_package(file: BinaryIO, main_folder: str, suffix: str, limits: Limits) -> None:
    """`main_folder`: where such a document has its parts, as in `word/`. Raises `Unreadable`; rewinds the file."""
    try:
        with zipfile.ZipFile(file) as package:
            _check(package, main_folder, suffix, limits)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeError):
        raise Unreadable(f"It is a damaged or incomplete {suffix} file.") from None
    file.seek(0)


def _check(package: zipfile.ZipFile, main_folder: str, suffix: str, limits: Limits) -> None:
    entries = package.infolist()
    if not any(entry.filename.startswith(main_folder) for entry in entries):
        raise Unreadable(f"Its type says {suffix}, but the archive holds no such document.")
    if len(entries) > _MOST_PARTS:
        raise Unreadable(f"It has {len(entries):,} parts; a {suffix} file is read up to {_MOST_PARTS:,}.")
    xml = [entry for entry in entries if entry.filename.lower().endswith(_XML)]
    if sum(entry.file_size for entry in xml) > limits.unpacked_bytes:
        raise Unreadable(f"It unpacks to more than {limits.unpacked_bytes // _MEBIBYTE} MiB of text and layout.")
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes * _MEDIA_TO_XML:
        raise Unreadable(f"It unpacks to more than {limits.unpacked_bytes * _MEDIA_TO_XML // _MEBIBYTE} MiB.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("It is password-protected.")
    for entry in xml:
        _check_beginning(package, entry, suffix)


def _check_beginning(package: zipfile.ZipFile, entry: zipfile.ZipInfo, suffix: str) -> None:
    """Parses up to the first element, before which a DTD has to stand."""
    with package.open(entry) as part:
        try:
            next(iter(iterparse(part, events=("start",), forbid_dtd=True)), None)
        except DTDForbidden:
            raise Unreadable(f"It declares XML entities, which a {suffix} file must not.") from None
        except ParseError:
            raise Unreadable(f"It is a damaged {suffix} file: a part of it is no XML.") from None

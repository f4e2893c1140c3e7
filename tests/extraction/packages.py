"""Office documents made by the libraries that read them, and then made wrong in chosen ways."""

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import docx
import openpyxl
import pptx

# The sizes, packed and unpacked, in an entry of the central directory.
_CENTRAL = b"PK\x01\x02"
_UNPACKED_SIZE = 24


def document() -> bytes:
    made = docx.Document()
    made.add_heading("Findings", level=1)
    made.add_paragraph("Before the table.")
    table = made.add_table(2, 2)
    for row, cells in enumerate([("name", "count"), ("left | right", "2")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    made.add_paragraph("first of a list", style="List Bullet")
    made.add_heading("Details", level=2)
    made.add_paragraph("After the table.")
    return _saved(made)


def workbook() -> bytes:
    made = openpyxl.Workbook()
    made.active.title = "Costs"
    made.active.append(["what", "amount", None, "paid"])
    made.active.append(["a line\nend", 12.5, None, True])
    made.create_sheet("Empty")
    made.create_sheet("Dates")["B2"] = "far"
    return _saved(made)


def presentation() -> bytes:
    made = pptx.Presentation()
    for number in (1, 2):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = f"Title {number}"
        slide.placeholders[1].text = f"Point {number}"
        slide.notes_slide.notes_text_frame.text = f"Say this {number}"
    table = slide.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 10, 10).text_frame.text = "in a group"
    return _saved(made)


def with_parts(package: bytes, parts: Mapping[str, bytes]) -> bytes:
    """With these parts instead of its own, or beside them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in [*(name for name in old.namelist() if name not in parts), *parts]:
            new.writestr(name, parts.get(name) or old.read(name))
    return made.getvalue()


def part_of(package: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        return opened.read(name)


def with_zeros(package: bytes, name: str, mebibytes: int) -> bytes:
    """With a part of so many zeros, a thousandth of that when packed."""
    made = io.BytesIO(package)
    with (
        zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as opened,
        opened.open(name, "w", force_zip64=True) as part,
    ):
        zeros = bytes(1024 * 1024)
        for _ in range(mebibytes):
            part.write(zeros)
    return made.getvalue()


def declaring(package: bytes, name: str, size: int) -> bytes:
    """With another size for a part in the central directory than it has."""
    changed = bytearray(package)
    at = changed.find(_CENTRAL)
    while at >= 0:
        if changed[at + 46 :].startswith(name.encode()):
            struct.pack_into("<L", changed, at + _UNPACKED_SIZE, size)
        at = changed.find(_CENTRAL, at + 4)
    return bytes(changed)


def _saved(made: object) -> bytes:
    content = io.BytesIO()
    made.save(content)  # type: ignore[attr-defined]
    return content.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path

"""The paragraphs and tables of a .docx in their order, headings and lists as in Markdown.

python-docx opens the document; its texts are gathered from the elements, for its own `Paragraph.text` leaves out what
stands in content controls and tracked insertions. https://python-docx.readthedocs.io/en/latest/api/text.html
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import docx
from docx.oxml.ns import qn
from lxml.etree import _Element

from exai.extraction.gathered import Gathered, Unreadable
from exai.extraction.package_check import check_package

_BODY, _PARAGRAPH, _TABLE, _ROW, _CELL = (qn(f"w:{name}") for name in ("body", "p", "tbl", "tr", "tc"))
_STYLE, _VALUE, _TEXT, _TAB = (qn(f"w:{name}") for name in ("pStyle", "val", "t", "tab"))
_BREAKS = {qn("w:br"), qn("w:cr")}
# The second form of what is also there in a first, and what draws the number of a page.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading (\d)$", re.IGNORECASE)


def read_docx(file: BinaryIO, gathered: Gathered) -> None:
    """Raises `Unreadable`, and whatever else python-docx raises for a damaged file."""
    check_package(file, "word/", ".docx", gathered.limits)
    try:
        document = docx.Document(file)
    except ValueError:  # the main part's type is that of a template, or of a document with macros
        raise Unreadable("It is a Word template or a document with macros: save it as .docx.") from None
    marks = {style.style_id: _mark(style.name or "") for style in document.styles}
    body = document.element.body
    for block in _blocks(body):
        gathered.add(_table(block) if block.tag == _TABLE else _paragraph(block, marks))


def _mark(style: str) -> str:
    if heading := _HEADING.match(style):
        return "#" * int(heading[1]) + " "
    if style == "Title":
        return "# "
    return "- " if style.startswith("List") else ""


def _blocks(element: _Element) -> Iterator[_Element]:
    """Paragraphs and tables, also those in content controls, but not those in others."""
    for child in element:
        if child.tag in {_PARAGRAPH, _TABLE}:
            yield child
        elif isinstance(child.tag, str):
            yield from _blocks(child)


def _paragraph(paragraph: _Element, marks: dict[str, str]) -> str:
    text = _text(paragraph).strip()
    if not text:
        return ""
    style = paragraph.find(f"./{qn('w:pPr')}/{_STYLE}")
    return f"{marks.get(style.get(_VALUE, ''), '') if style is not None else ''}{text}\n\n"


def _table(table: _Element) -> str:
    """A line for each row. A table within a cell becomes text of that cell."""
    rows = []
    for row in table.iterchildren(_ROW):
        cells = [" ".join(_text(cell).replace("|", "\\|").split()) for cell in row.iter(_CELL) if _row_of(cell) is row]
        rows.append("| " + " | ".join(cells) + " |\n")
    return "".join(rows) + "\n"


def _row_of(cell: _Element) -> _Element | None:
    return next(cell.iterancestors(_ROW), None)


def _text(element: _Element) -> str:
    pieces = []
    for piece in element.iter(_TEXT, _TAB, _PARAGRAPH, *_BREAKS):
        if piece.tag == _TEXT:
            if next(piece.iterancestors(_FALLBACK), None) is None:
                pieces.append(piece.text or "")
        elif piece.tag == _TAB:
            pieces.append("\t")
        else:
            pieces.append("\n")
    return "".join(pieces)

"""The slides of a presentation: their texts, tables and notes. https://python-pptx.readthedocs.io/en/latest/user/text.html"""

from collections.abc import Iterable
from typing import Any, BinaryIO

import pptx
from pptx.shapes.group import GroupShape

from exai.extraction.gathered import Gathered, Unreadable
from exai.extraction.package_check import check_package


def read_pptx(file: BinaryIO, gathered: Gathered) -> None:
    """Raises `Unreadable`, and whatever else python-pptx raises for a damaged file."""
    check_package(file, "ppt/", ".pptx", gathered.limits)
    try:
        presentation = pptx.Presentation(file)
    except ValueError:  # the main part's type is that of a template or of a show
        raise Unreadable("It is a template or a show, not a presentation: save it as .pptx.") from None
    gathered.unit = "slides"
    gathered.total = len(presentation.slides)
    if not gathered.total:
        raise Unreadable("It is a presentation without slides.")
    for number, slide in enumerate(presentation.slides, 1):
        gathered.add(f"--- slide {number} ---\n")
        _read_shapes(slide.shapes, gathered)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            gathered.add(f"Notes: {notes}\n" if notes else "")
        gathered.add("\n")
        if not gathered.part_done():
            break


def _read_shapes(shapes: Iterable[Any], gathered: Gathered) -> None:
    for shape in shapes:
        if isinstance(shape, GroupShape):
            _read_shapes(shape.shapes, gathered)
        elif shape.has_text_frame:
            text = shape.text_frame.text.replace("\v", "\n").strip()
            gathered.add(f"{text}\n" if text else "")
        elif shape.has_table:
            for row in shape.table.rows:
                cells = [" ".join(cell.text_frame.text.replace("|", "\\|").split()) for cell in row.cells]
                gathered.add("| " + " | ".join(cells) + " |\n")

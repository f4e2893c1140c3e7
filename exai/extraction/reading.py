"""Reads one file in the process that was started for it, and says in words what stopped it."""

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from exai.extraction.confinement import OutOfTime, reading_is_over
from exai.extraction.exchange import Reply, Request
from exai.extraction.extracted import Extracted
from exai.extraction.gathered import Full, Gathered, Unreadable
from exai.extraction.mime_types import DOCX, IMAGES, NOTEBOOK, PDF, PPTX, XLSX

_MEBIBYTE = 1024 * 1024
_XML_NO_MEMORY = 2  # of lxml's XMLSyntaxError; https://gnome.pages.gitlab.gnome.org/libxml2/html/xmlerror_8h.html
# Module and function: only the one that is needed is imported, and with it its library.
_READERS = {
    PDF: ("pdf_text", "read_pdf"),
    DOCX: ("docx_text", "read_docx"),
    XLSX: ("xlsx_text", "read_xlsx"),
    PPTX: ("pptx_text", "read_pptx"),
    NOTEBOOK: ("notebook_text", "read_notebook"),
}


def read(file: BinaryIO, request: Request) -> Reply:
    """Raises nothing."""
    gathered = Gathered(request.limits)
    problem = fault = ""
    try:
        _read_into(gathered, file, request.mime_type)
    except Full:
        gathered.cut = gathered.broken_off = True
    except Unreadable as found:
        return Reply(extracted=Extracted(problem=str(found)))
    except OutOfTime:
        gathered.broken_off = True
        problem = f"It takes more than {request.limits.cpu_seconds} s to read."
    except MemoryError:
        problem = _too_much_memory(request)
    except Exception as error:  # whatever a library meets damage with
        if isinstance(error, SyntaxError) and getattr(error, "code", None) == _XML_NO_MEMORY:
            problem = _too_much_memory(request)
        else:
            problem, fault = "It is damaged: reading it failed.", _place(error)
    reading_is_over()
    return Reply(extracted=gathered.extracted(problem), fault=fault)


def _read_into(gathered: Gathered, file: BinaryIO, mime_type: str) -> None:
    if mime_type in IMAGES:
        from exai.extraction.images import read_image

        read_image(file, mime_type, gathered)
        return
    module, name = _READERS[mime_type]
    reader = getattr(importlib.import_module(f"exai.extraction.{module}"), name)
    cast(Callable[[BinaryIO, Gathered], None], reader)(file, gathered)


def _too_much_memory(request: Request) -> str:
    return f"It takes more than {request.limits.address_space_bytes // _MEBIBYTE} MiB of memory to read."


def _place(error: Exception) -> str:
    """No message: it may repeat what stands in the file."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"

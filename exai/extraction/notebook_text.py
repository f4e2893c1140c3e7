"""The cells of a Jupyter notebook with their outputs in text. https://nbformat.readthedocs.io/en/latest/format_description.html

Pictures and other rich outputs are passed over while the JSON is read, so they take no memory.
"""

import re
from typing import BinaryIO

import msgspec

from exai.extraction.gathered import Gathered, Unreadable

_LONGEST_OUTPUT = 20_000  # characters: a loop that printed is not what a notebook says
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MEBIBYTE = 1024 * 1024

_Lines = str | list[str]


class _Data(msgspec.Struct):
    text: _Lines = msgspec.field(name="text/plain", default="")


class _Output(msgspec.Struct):
    output_type: str = ""
    text: _Lines = ""
    data: _Data = msgspec.field(default_factory=_Data)
    ename: str = ""
    evalue: str = ""


class _Cell(msgspec.Struct):
    cell_type: str
    source: _Lines = ""
    outputs: list[_Output] = []


class _Notebook(msgspec.Struct):
    cells: list[_Cell]


def read_notebook(file: BinaryIO, gathered: Gathered) -> None:
    """Raises `Unreadable`."""
    most = gathered.limits.address_space_bytes // 4
    content = file.read(most + 1)
    if len(content) > most:
        raise Unreadable(f"It is a notebook of more than {most // _MEBIBYTE} MiB: clear its outputs.")
    try:
        notebook = msgspec.json.decode(content, type=_Notebook)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable("It begins like a notebook, but is damaged or of a format before 4.") from None
    del content
    gathered.unit = "cells"
    gathered.total = len(notebook.cells)
    for number, cell in enumerate(notebook.cells, 1):
        gathered.add(f"--- cell {number}: {cell.cell_type[:20]} ---\n{_joined(cell.source)}\n")
        for output in cell.outputs:
            gathered.add(_shown(output, gathered))
        gathered.add("\n")
        gathered.done += 1


def _shown(output: _Output, gathered: Gathered) -> str:
    if output.output_type == "error":
        text = f"{output.ename}: {output.evalue}"
    else:
        text = _joined(output.text) or _joined(output.data.text)
    text = _TERMINAL_COLOUR.sub("", text).rstrip("\n")
    if len(text) > _LONGEST_OUTPUT:
        text = text[:_LONGEST_OUTPUT] + "…"
        gathered.cut = True
    return f"Output:\n{text}\n" if text else ""


def _joined(lines: _Lines) -> str:
    return lines if isinstance(lines, str) else "".join(lines)

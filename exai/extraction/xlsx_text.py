"""The sheets of a workbook, a line for each row that holds something, cells separated by tabs.

https://openpyxl.readthedocs.io/en/stable/optimized.html: read row by row, with the values that were last calculated.
"""

import datetime
from typing import Any, BinaryIO

import openpyxl
from openpyxl.utils import get_column_letter

from exai.extraction.gathered import Gathered, Unreadable
from exai.extraction.package_check import check_package


def read_xlsx(file: BinaryIO, gathered: Gathered) -> None:
    """Raises `Unreadable`, and whatever else openpyxl raises for a damaged file."""
    check_package(file, "xl/", ".xlsx", gathered.limits)
    workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    if not workbook.worksheets:
        raise Unreadable("It is a workbook without sheets of cells.")
    gathered.unit = "sheets"
    gathered.total = len(workbook.worksheets)
    for sheet in workbook.worksheets:
        gathered.add(f"--- sheet {sheet.title} ---\n")
        _read_sheet(sheet, gathered)
        if not gathered.part_done():
            break


def _read_sheet(sheet: Any, gathered: Gathered) -> None:
    limits = gathered.limits
    # A sheet may say that it is as wide and as long as sheets can be, and would be filled up to that.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True, max_row=limits.rows + 1, max_col=limits.columns + 1)
    for number, row in enumerate(rows, 1):
        if number > limits.rows:
            gathered.cut = True
            gathered.add(f"(the sheet goes on after row {limits.rows:,})\n")
            break
        cells = [_shown(value) for value in row[: limits.columns]]
        while cells and not cells[-1]:
            cells.pop()
        if len(row) > limits.columns and row[-1] is not None:
            cells.append(f"(the row goes on after column {get_column_letter(limits.columns)})")
            gathered.cut = True
        if cells:
            gathered.add("\t".join(cells) + "\n")
    gathered.add("\n")


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat().removesuffix("T00:00:00")
    return " ".join(str(value).split())

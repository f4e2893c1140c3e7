"""What a model is told of documents that are as they should be."""

import json
from pathlib import Path

import openpyxl
import pytest
from pypdf import PdfWriter

from exai.extraction.limits import Limits
from tests.extraction.packages import document, part_of, presentation, put, with_parts, workbook
from tests.extraction.pdfs import write_pdf
from tests.extraction.reading import read


async def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    found = await read(write_pdf(tmp_path / "a.pdf", ["the first", "the second"]))
    assert found.text == "--- page 1 ---\nthe first\n\n--- page 2 ---\nthe second\n\n"
    assert (found.parts, found.cut, found.problem) == ("pages 1-2 of 2", False, "")


async def test_a_pdf_of_more_pages_than_are_read_says_which_were(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [f"this is {number}" for number in range(1, 8)])
    found = await read(path, limits=Limits(pages=3))
    assert "this is 3" in found.text
    assert "this is 4" not in found.text
    assert (found.parts, found.cut, found.problem) == ("pages 1-3 of 7", True, "")


async def test_a_pdf_of_more_text_than_is_read_says_where_it_was_cut(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["x" * 50] * 5)
    found = await read(path, limits=Limits(characters=150))
    assert len(found.text) == 150
    assert (found.parts, found.cut) == ("pages 1-2 of 5 and a part of the next", True)


async def test_a_scanned_pdf_says_that_it_has_no_text(tmp_path: Path) -> None:
    found = await read(write_pdf(tmp_path / "a.pdf", ["", ""]))
    assert found.text == ""
    assert "pictures without text" in found.problem


@pytest.mark.parametrize(("password", "problem"), [("secret", "password-protected PDF"), ("", "")])
async def test_an_encrypted_pdf_is_read_only_where_it_needs_no_password(
    tmp_path: Path, password: str, problem: str
) -> None:
    writer = PdfWriter(clone_from=write_pdf(tmp_path / "plain.pdf", ["what it says"]))
    writer.encrypt(password, "owner", algorithm="AES-256")
    writer.write(tmp_path / "a.pdf")
    found = await read(tmp_path / "a.pdf")
    assert problem in found.problem
    assert ("what it says" in found.text) is not bool(problem)


async def test_a_document_keeps_headings_lists_and_tables_in_their_order(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.docx", document()))
    assert found.text == (
        "# Findings\n\nBefore the table.\n\n| name | count |\n| left \\| right | 2 |\n\n- first of a list\n\n"
        "## Details\n\nAfter the table.\n\n"
    )
    assert (found.parts, found.cut, found.problem) == ("", False, "")


async def test_a_document_is_read_with_its_content_controls_and_insertions_but_not_deletions(tmp_path: Path) -> None:
    body = (
        b"<w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        b"<w:p><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        b"<w:r><w:tab/><w:t>end</w:t></w:r></w:p>"
    )
    main = part_of(document(), "word/document.xml")
    begin, end = main.index(b"<w:body>") + len(b"<w:body>"), main.index(b"</w:body>")
    changed = with_parts(document(), {"word/document.xml": main[:begin] + body + main[end:]})
    found = await read(put(tmp_path / "a.docx", changed))
    assert found.text == "controlled\n\ninserted\tend\n\n"


async def test_a_document_that_is_too_long_is_cut(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.docx", document()), limits=Limits(characters=20))
    assert found.text == "# Findings\n\nBefore t"
    assert (found.parts, found.cut, found.problem) == ("the first 20 characters", True, "")


async def test_a_workbook_is_read_sheet_by_sheet(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.xlsx", workbook()))
    assert found.text == (
        "--- sheet Costs ---\nwhat\tamount\t\tpaid\na line end\t12.5\t\tTRUE\n\n"
        "--- sheet Empty ---\n\n--- sheet Dates ---\n\tfar\n\n"
    )
    assert (found.parts, found.cut, found.problem) == ("sheets 1-3 of 3", False, "")


async def test_a_workbook_is_cut_at_rows_and_columns_and_says_so(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    for row in range(1, 7):
        made.active.append([f"{row}.{column}" for column in range(1, 6)])
    made.save(tmp_path / "a.xlsx")
    found = await read(tmp_path / "a.xlsx", limits=Limits(rows=2, columns=3))
    assert "1.1\t1.2\t1.3\t(the row goes on after column C)\n" in found.text
    assert "(the sheet goes on after row 2)" in found.text
    assert "3.1" not in found.text
    assert "1.4" not in found.text
    assert found.cut


async def test_a_cell_at_the_far_end_of_a_sheet_costs_nothing(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    made.active["A1"] = "near"
    made.active["XFD1048576"] = "far"
    made.save(tmp_path / "a.xlsx")
    found = await read(tmp_path / "a.xlsx")
    assert "near\n(the sheet goes on after row 20,000)" in found.text
    assert found.problem == ""


async def test_a_presentation_is_read_with_tables_groups_and_notes(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.pptx", presentation()))
    assert found.text == (
        "--- slide 1 ---\nTitle 1\nPoint 1\nNotes: Say this 1\n\n"
        "--- slide 2 ---\nTitle 2\nPoint 2\n| left | right |\nin a group\nNotes: Say this 2\n\n"
    )
    assert (found.parts, found.cut, found.problem) == ("slides 1-2 of 2", False, "")


async def test_a_notebook_is_read_with_its_outputs_in_text(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": "1 + 1\n",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["printed\n"]},
                {"output_type": "execute_result", "data": {"text/plain": ["2"], "image/png": "iVBORw0KGgo="}},
                {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}},
                {"output_type": "error", "ename": "ValueError", "evalue": "\x1b[31mwrong\x1b[0m", "traceback": ["…"]},
            ],
        },
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    found = await read(path)
    assert found.text == (
        "--- cell 1: markdown ---\n# Title\ntext\n\n"
        "--- cell 2: code ---\n1 + 1\n\nOutput:\nprinted\nOutput:\n2\nOutput:\nValueError: wrong\n\n"
    )
    assert (found.parts, found.cut, found.problem) == ("cells 1-2 of 2", False, "")


async def test_an_output_that_is_too_long_is_cut(tmp_path: Path) -> None:
    outputs = [{"output_type": "stream", "text": "x" * 100_000}]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}], "nbformat": 4}))
    found = await read(path)
    assert 20_000 < len(found.text) < 21_000
    assert found.cut

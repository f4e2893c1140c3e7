"""Files that are made to hurt: each is refused in words or read in part, within its time, and the hub goes on."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exai.extraction.limits import Limits
from tests.extraction.packages import declaring, document, part_of, presentation, put, with_parts, with_zeros, workbook
from tests.extraction.pdfs import packed, stream, write_objects, write_pdf
from tests.extraction.reading import read

MEBIBYTE = 1024 * 1024
OFFICE = {"docx": document, "xlsx": workbook, "pptx": presentation}
MAIN = {"docx": "word/document.xml", "xlsx": "xl/worksheets/sheet1.xml", "pptx": "ppt/slides/slide1.xml"}
ONE_PAGE = {
    1: b"<< /Type /Catalog /Pages 2 0 R >>",
    2: b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
    3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    4: b"<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
}
suffixes = pytest.mark.parametrize("suffix", OFFICE)


@pytest.fixture(autouse=True)
def hub_untouched(tmp_path: Path) -> Iterator[None]:
    """Whatever was read: the hub's memory stays, no process and no descriptor is left."""
    process = psutil.Process()
    before = set(process.children())  # the databases, where this process started them
    descriptors, memory = process.num_fds(), process.memory_info().rss
    yield
    assert not set(process.children()) - before
    assert process.num_fds() <= descriptors + 4  # those of the test's own loop
    assert process.memory_info().rss - memory < 60 * MEBIBYTE


@suffixes
async def test_a_zip_bomb_in_an_office_file_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    folder = MAIN[suffix].partition("/")[0]
    found = await read(put(tmp_path / f"a.{suffix}", with_zeros(OFFICE[suffix](), f"{folder}/bomb.xml", 60)))
    assert found.problem == "It unpacks to more than 50 MiB of text and layout."


@suffixes
async def test_a_zip_bomb_that_is_named_as_a_picture_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    folder = MAIN[suffix].partition("/")[0]
    bomb = with_zeros(OFFICE[suffix](), f"{folder}/media/bomb.png", 20)
    found = await read(put(tmp_path / f"a.{suffix}", bomb), limits=Limits(unpacked_bytes=4 * MEBIBYTE))
    assert found.problem == "It unpacks to more than 16 MiB."


async def test_a_plain_zip_bomb_is_an_archive_and_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "inner.zip", "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("zeros", bytes(MEBIBYTE))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as outer:
        for number in range(100):
            outer.write(tmp_path / "inner.zip", f"{number}.zip")
    assert "It is an archive" in (await read(tmp_path / "a.zip")).problem
    (tmp_path / "a.zip").rename(tmp_path / "a.docx")
    assert (await read(tmp_path / "a.docx")).problem.startswith("Its name says .docx, but it is no such file")


@pytest.mark.parametrize(("suffix", "size"), [("docx", 0), ("docx", 10), ("xlsx", 10), ("pptx", 0)])
async def test_an_office_file_that_declares_less_than_it_unpacks_to_is_damaged(
    tmp_path: Path, suffix: str, size: int
) -> None:
    bomb = declaring(with_zeros(OFFICE[suffix](), MAIN[suffix] + "x.xml", 60), MAIN[suffix] + "x.xml", size)
    found = await read(put(tmp_path / f"a.{suffix}", bomb))
    assert "damaged" in found.problem


@suffixes
async def test_an_office_file_that_declares_more_than_it_holds_is_refused(tmp_path: Path, suffix: str) -> None:
    lie = declaring(OFFICE[suffix](), MAIN[suffix], 4_000_000_000)
    found = await read(put(tmp_path / f"a.{suffix}", lie))
    assert "more than 50 MiB" in found.problem


async def test_an_office_file_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    many = with_parts(document(), {f"word/{number}.xml": b"<a/>" for number in range(10_001)})
    found = await read(put(tmp_path / "a.docx", many))
    assert "parts; a .docx file is read up to 10,000" in found.problem


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
DOCUMENT_TYPES = {
    "billion laughs": b'<!DOCTYPE a [<!ENTITY l0 "ha">' + LAUGHS + b"]>",
    "quadratic": b'<!DOCTYPE a [<!ENTITY l9 "' + b"x" * 50_000 + b'">]>',
    "external": b'<!DOCTYPE a [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
    "external parameter": b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    "external subset": b'<!DOCTYPE a SYSTEM "file:///etc/passwd">',
}

BEST_KNOWN = "billion laughs"


def with_document_type(suffix: str, document_type: bytes, encoding: str = "utf-8") -> bytes:
    part = part_of(OFFICE[suffix](), MAIN[suffix])
    rest = part.rpartition(b"?>")[2]
    at = rest.index(b">", rest.index(b"<")) + 1
    changed = document_type + rest[:at] + b"&l9;" * 20 + rest[at:]
    content = f"<?xml version='1.0' encoding='{encoding}'?>".encode() + changed
    return with_parts(OFFICE[suffix](), {MAIN[suffix]: content.decode().encode(encoding)})


@pytest.mark.parametrize(
    ("suffix", "kind"), [("docx", kind) for kind in DOCUMENT_TYPES] + [("xlsx", BEST_KNOWN), ("pptx", BEST_KNOWN)]
)
async def test_xml_entities_are_neither_expanded_nor_fetched(tmp_path: Path, suffix: str, kind: str) -> None:
    found = await read(put(tmp_path / f"a.{suffix}", with_document_type(suffix, DOCUMENT_TYPES[kind])))
    assert found.text == ""
    assert found.problem == f"It declares XML entities, which a .{suffix} file must not."


async def test_entities_are_found_in_another_encoding_and_in_any_part(tmp_path: Path) -> None:
    laughs = DOCUMENT_TYPES["billion laughs"]
    hidden = put(tmp_path / "a.docx", with_document_type("docx", laughs, "utf-16"))
    assert "XML entities" in (await read(hidden)).problem
    relations = with_parts(workbook(), {"xl/_rels/workbook.xml.rels": laughs + b"<a>&l9;</a>"})
    assert "XML entities" in (await read(put(tmp_path / "a.xlsx", relations))).problem


@pytest.mark.parametrize("kind", DOCUMENT_TYPES)
async def test_entities_in_a_part_that_is_not_named_as_xml_stay_unexpanded(tmp_path: Path, kind: str) -> None:
    hidden = with_document_type("docx", DOCUMENT_TYPES[kind])
    types = part_of(hidden, "[Content_Types].xml").replace(b"/word/document.xml", b"/word/document.bin")
    relations = part_of(hidden, "_rels/.rels").replace(b"word/document.xml", b"word/document.bin")
    main = part_of(hidden, MAIN["docx"]).replace(b"Before the table.", b"it says &l9;")
    parts = {
        "[Content_Types].xml": types,
        "_rels/.rels": relations,
        MAIN["docx"]: part_of(document(), MAIN["docx"]),
        "word/document.bin": main,
    }
    found = await read(put(tmp_path / "a.docx", with_parts(hidden, parts)))
    assert found.problem or "it says" in found.text
    assert len(found.text) < 1_000
    assert "root:" not in found.text


async def test_a_picture_in_svg_is_text_whose_entities_mean_nothing(tmp_path: Path) -> None:
    svg = DOCUMENT_TYPES["billion laughs"] + b'<svg xmlns="http://www.w3.org/2000/svg"><text>&l9;</text></svg>'
    found = await read(put(tmp_path / "a.svg", svg))
    assert found.text == svg.decode()


@suffixes
async def test_xml_that_is_nested_too_deeply_gives_no_text(tmp_path: Path, suffix: str) -> None:
    nested = with_parts(OFFICE[suffix](), {MAIN[suffix]: b"<a>" * 50_000 + b"what it says" + b"</a>" * 50_000})
    found = await read(put(tmp_path / f"a.{suffix}", nested))
    assert "what it says" not in found.text
    # Sheets are read as a stream, in which depth does not matter: that one is found to be empty.
    assert "damaged" in found.problem or found.text.startswith("--- sheet Costs ---\n\n")


@suffixes
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
async def test_a_truncated_office_file_says_so(tmp_path: Path, suffix: str, share: float) -> None:
    content = OFFICE[suffix]()
    found = await read(put(tmp_path / f"a.{suffix}", content[: int(len(content) * share)]))
    assert found.problem.startswith(f"Its name says .{suffix}, but it is no such file, or a damaged one.")


@suffixes
async def test_a_main_part_that_is_no_xml_is_damage(tmp_path: Path, suffix: str) -> None:
    found = await read(put(tmp_path / f"a.{suffix}", with_parts(OFFICE[suffix](), {MAIN[suffix]: b"\x00\x01 no XML"})))
    assert found.problem == f"It is a damaged .{suffix} file: a part of it is no XML."


async def test_an_office_file_without_its_main_part_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as package:
        package.writestr("[Content_Types].xml", "<Types/>")
        package.writestr("word/other.xml", "<a/>")
    assert "damaged" in (await read(tmp_path / "a.docx")).problem


async def test_a_word_document_with_macros_says_how_to_save_it(tmp_path: Path) -> None:
    types = part_of(document(), "[Content_Types].xml")
    plain = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    macros = types.replace(plain, b"application/vnd.ms-word.document.macroEnabled.main+xml")
    assert macros != types
    found = await read(put(tmp_path / "a.docm", with_parts(document(), {"[Content_Types].xml": macros})))
    assert found.problem == "It is a Word template or a document with macros: save it as .docx."


async def test_a_pdf_of_ten_thousand_pages_is_read_in_part(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [f"this is {number}" for number in range(1, 10_001)])
    found = await read(path, limits=Limits(pages=100))
    assert "this is 100\n" in found.text
    assert (found.parts, found.cut, found.problem) == ("pages 1-100 of 10,000", True, "")


async def test_a_pdf_whose_pages_hold_themselves_is_refused(tmp_path: Path) -> None:
    circle = {
        2: b"<< /Type /Pages /Count 9 /Kids [3 0 R 3 0 R] >>",
        3: b"<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R] >>",
    }
    found = await read(write_objects(tmp_path / "a.pdf", {**ONE_PAGE, **circle}))
    assert "damaged" in found.problem


async def test_a_pdf_whose_pages_are_shared_a_billion_times_is_refused(tmp_path: Path) -> None:
    nodes = {n: b"<< /Type /Pages /Kids [%s] >>" % (b"%d 0 R " % (n + 1) * 10) for n in range(10, 19)}
    tree = {2: b"<< /Type /Pages /Kids [10 0 R] >>", **nodes, 19: ONE_PAGE[4]}
    found = await read(write_objects(tmp_path / "a.pdf", {**ONE_PAGE, **tree}))
    assert found.text == ""
    assert "damaged" in found.problem


async def test_a_compressed_bomb_in_a_pdf_is_not_unpacked(tmp_path: Path) -> None:
    path = write_objects(tmp_path / "a.pdf", {**ONE_PAGE, 5: packed(b" " * MEBIBYTE, 60)})
    found = await read(path)
    assert found.problem == "A page of it unpacks to more than a page may hold."


async def test_a_bomb_on_one_page_does_not_hide_the_others(tmp_path: Path) -> None:
    page = ONE_PAGE[4].replace(b"5 0 R", b"7 0 R")
    objects = {
        **ONE_PAGE,
        2: b"<< /Type /Pages /Count 2 /Kids [4 0 R 6 0 R] >>",
        5: packed(b" " * MEBIBYTE, 60),
        6: page,
        7: stream(b"BT /F1 12 Tf 72 720 Td (what it says) Tj ET"),
    }
    found = await read(write_objects(tmp_path / "a.pdf", objects))
    assert "--- page 1 ---\n(A page of it unpacks" in found.text
    assert "--- page 2 ---\nwhat it says" in found.text


@pytest.mark.parametrize(
    "objects",
    [
        {5: b"<< /Length 99999999999 >>\nstream\nBT (x) Tj ET\nendstream"},
        {5: stream(b"[" * 200_000)},
        {2: b"<< /Type /Pages /Count 1 /Kids " + b"[" * 50_000 + b"4 0 R" + b"]" * 50_000 + b" >>"},
        {2: b"<< /Type /Pages /Count 999999999 /Kids [] >>"},
        {1: b"<< /Type /Catalog /Pages 1 0 R >>"},
    ],
    ids=["a length that is a lie", "arrays in arrays", "kids in kids", "a count that is a lie", "no pages"],
)
async def test_a_broken_pdf_says_that_it_cannot_be_read(tmp_path: Path, objects: dict[int, bytes]) -> None:
    found = await read(write_objects(tmp_path / "a.pdf", {**ONE_PAGE, 5: stream(b""), **objects}))
    assert found.text == ""
    assert found.problem.endswith(".")


@pytest.mark.parametrize("length", [9, 400, 20_000])
async def test_a_truncated_pdf_says_so_or_gives_what_is_left(tmp_path: Path, length: int) -> None:
    whole = write_pdf(tmp_path / "whole.pdf", [f"this is {number}" for number in range(1, 200)])
    found = await read(put(tmp_path / "a.pdf", whole.read_bytes()[:length]))
    assert found.problem or "this is 1" in found.text


async def test_a_notebook_that_is_nested_too_deeply_or_damaged_says_so(tmp_path: Path) -> None:
    deep = b'{"cells": [{"cell_type": "code", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b'}], "nbformat": 4}'
    damaged = b'{"cells": [{"cell_type": 5}], "nbformat": 4}'
    for content in (deep, damaged, deep[:2_000] + b'"nbformat"'):
        found = await read(put(tmp_path / "a.ipynb", content))
        assert found.text == ""
        assert "damaged" in found.problem


async def test_what_takes_too_long_is_given_up_with_what_was_read(tmp_path: Path) -> None:
    busy = packed(b"BT /F1 12 Tf (x) Tj ET\n" * 1_000, 60)
    tree = {2: b"<< /Type /Pages /Count 2 /Kids [6 0 R 4 0 R] >>", 6: ONE_PAGE[4].replace(b"5 0 R", b"7 0 R")}
    easy = stream(b"BT /F1 12 Tf 72 720 Td (what it says) Tj ET")
    path = write_objects(tmp_path / "a.pdf", {**ONE_PAGE, **tree, 5: busy, 7: easy})
    found = await read(path, limits=Limits(cpu_seconds=1))
    assert "what it says" in found.text
    assert found.cut
    assert found.problem == "It takes more than 1 s to read."
    assert found.parts == "pages 1-1 of 2 and a part of the next"


async def test_what_takes_too_much_memory_is_given_up(tmp_path: Path) -> None:
    paragraphs = b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 300_000
    main = part_of(document(), "word/document.xml")
    begin, end = main.index(b"<w:body>") + len(b"<w:body>"), main.index(b"</w:body>")
    large = with_parts(document(), {"word/document.xml": main[:begin] + paragraphs + main[end:]})
    found = await read(put(tmp_path / "a.docx", large), limits=Limits(address_space_bytes=120 * MEBIBYTE))
    assert found.problem == "It takes more than 120 MiB of memory to read."


async def test_after_a_bad_file_a_good_one_is_read(tmp_path: Path) -> None:
    assert (await read(put(tmp_path / "bad.docx", document()[:-40]))).problem
    assert (await read(put(tmp_path / "good.docx", document()))).problem == ""

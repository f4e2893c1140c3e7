"""Plain text and code: decoded, cleaned, bounded, and numbered for a model."""

import threading
import time
from pathlib import Path

import psutil
import pytest

from exai.extraction.extracted import clean
from exai.extraction.limits import Limits
from exai.extraction.lines import numbered
from tests.extraction.packages import put
from tests.extraction.reading import read

MEBIBYTE = 1024 * 1024
WESTERN = "Größe und Maß für die Prüfung der Änderung, naïve café. Übermäßig viele Wörter stehen hier. "
RUSSIAN = "Привет, как дела? Это проверка кодировки русского текста. "


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
async def test_text_in_any_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    text = WESTERN + RUSSIAN + "日本語 😀\n"
    found = await read(put(tmp_path / "a.txt", text.encode(encoding)))
    assert (found.text, found.parts, found.cut, found.problem) == (text, "", False, "")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WESTERN * 3, "cp1252"),
        (RUSSIAN * 3, "cp1251"),
        (RUSSIAN * 3, "koi8_r"),
        ("これは日本語のテキストです。文字コードの判定。" * 5, "cp932"),
        ("plain code = 1\n" * 500 + "# Größe — für “x”\n", "cp1252"),
    ],
)
async def test_text_in_an_encoding_of_old_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    found = await read(put(tmp_path / "a.txt", text.encode(encoding)))
    assert found.text == text


async def test_line_ends_become_one_kind(tmp_path: Path) -> None:
    assert (await read(put(tmp_path / "a.txt", b"one\r\ntwo\rthree\n"))).text == "one\ntwo\nthree\n"


async def test_broken_utf_8_is_read_with_marks_where_it_is_broken(tmp_path: Path) -> None:
    content = "ä".encode() * 100 + b"\xff\xc3" + "ö".encode() * 100
    assert (await read(put(tmp_path / "a.txt", content))).text == "ä" * 100 + "\ufffd\ufffd" + "ö" * 100


async def test_nul_bytes_make_it_no_text(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.txt", b"some text\x00and more"))
    assert found.text == ""
    assert "neither text nor" in found.problem


async def test_nul_bytes_far_into_a_text_do_not_come_through(tmp_path: Path) -> None:
    content = b"a" * 100_000 + b"\x00\x1b[31m" + b"b" * 300_000
    found = await read(put(tmp_path / "a.txt", content))
    assert found.text == "a" * 100_000 + "\ufffd\ufffd[31m" + "b" * 300_000


async def test_an_empty_file_says_so(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.py", b""))
    assert (found.text, found.parts, found.cut, found.problem) == ("", "nothing: the file is empty", False, "")


async def test_a_hundred_megabytes_in_one_line_are_read_to_the_limit_only(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * MEBIBYTE)
    before, started = psutil.Process().memory_info().rss, time.monotonic()
    found = await read(path)
    assert time.monotonic() - started < 5
    assert psutil.Process().memory_info().rss - before < 30 * MEBIBYTE
    assert len(found.text) == 2_000_000
    assert (found.cut, found.parts) == (True, "the first 2,000,000 characters, lines 1-1")


async def test_a_cut_says_up_to_which_line(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.txt", b"12345\n" * 1_000), limits=Limits(characters=15))
    assert (found.text, found.parts) == ("12345\n12345\n123", "the first 15 characters, lines 1-3")


async def test_a_text_just_as_long_as_the_limit_is_whole(tmp_path: Path) -> None:
    found = await read(put(tmp_path / "a.txt", b"x" * 70_000), limits=Limits(characters=70_000))
    assert (len(found.text), found.cut) == (70_000, False)


@pytest.mark.parametrize("name", ["a\x00b\x1b[2J.txt", "n" * 4_000, "", ".", "../../etc/passwd", "\ud800.docx"])
async def test_a_name_does_no_harm(tmp_path: Path, name: str) -> None:
    from exai.extraction.runner import extract

    for content in (b"text", b"PK\x03\x04 no archive"):
        path = put(tmp_path / "stored", content)
        found = await extract(path, mime_type="text/plain", name=name)
        assert (found.text == "text") is not bool(found.problem)
        assert len(found.problem) < 200


def test_lines_are_numbered_as_an_editor_does() -> None:
    assert numbered("a\n\nb\u2028c\x0cd\n") == "   1│ a\n   2│ \n   3│ b\u2028c\x0cd"
    assert numbered("") == ""
    assert numbered("\n" * 12_000).splitlines()[-1] == "12000│ "


def test_line_ends_are_one_wherever_a_long_text_is_parted() -> None:
    for before in range(16_380, 16_388):
        assert clean("x" * before + "\r\n\r\ry\x00") == "x" * before + "\n\n\ny\ufffd"
    assert clean("\r\n" * 50_000) == "\n" * 50_000


def test_other_threads_run_while_a_long_text_is_cleaned() -> None:
    """Counted in turns, not in time: a busy machine gives both of them less."""
    cleaning = threading.Thread(target=clean, args=("\x00" * 4_000_000,))
    cleaning.start()
    turns = 0
    while cleaning.is_alive():
        cleaning.join(timeout=0.001)
        turns += 1
    assert turns > 8

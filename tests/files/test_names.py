"""Names as clients give them."""

import unicodedata

import pytest

from conversations.files.names import LONGEST_NAME, clean_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("/srv/a/", "a"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("gpj.\u202etxt.exe", "gpj.txt.exe"),
        ("zero\u200bwidth\ufeff.md", "zerowidth.md"),
        ("\ud800half.txt", "half.txt"),
        ("wide\u2003space.txt", "wide space.txt"),
        ("  spaces  ", "spaces"),
        ("", "file"),
        ("..", "file"),
        (" . ", "file"),
        ("\x00\x01", "file"),
        ("////", "file"),
        (".gitignore", ".gitignore"),
        ("日本語.txt", "日本語.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
    ],
)
def test_a_name_is_its_last_part_without_what_is_not_seen(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize("character", ["x", "é", "日", "🙂"])
def test_a_long_name_is_shortened_and_keeps_its_suffix(character: str) -> None:
    name = clean_name(character * 4000 + ".tar")
    assert name.endswith(character + ".tar")
    assert LONGEST_NAME - 4 < len(name.encode()) <= LONGEST_NAME


def test_a_suffix_that_is_longer_than_any_is_no_suffix() -> None:
    assert clean_name("a." + "b" * 4000) == "a." + "b" * 253


def test_cleaning_twice_changes_nothing() -> None:
    for given in ("a" * 250 + " " * 20 + ".txt", "x/" + "é" * 300, " .\u202e.", "a\u0301" * 200):
        once = clean_name(given)
        assert clean_name(once) == once
        assert unicodedata.is_normalized("NFC", once)

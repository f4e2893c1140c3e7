"""Line numbers beside code: those of an editor, in any amount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.extraction.lines import numbered


@given(st.text(alphabet="ab\n\r\x0b\u2028", max_size=20))
def test_every_line_has_its_number(text: str) -> None:
    lines = text.removesuffix("\n").split("\n") if text else []
    assert numbered(text) == "\n".join(f"{number:>4}│ {line}" for number, line in enumerate(lines, 1))


@pytest.mark.parametrize("lines", [9_999, 10_000, 50_000])
def test_numbers_stand_below_each_other_in_a_long_text(lines: int) -> None:
    shown = numbered("a line of text\n" * lines).split("\n")
    assert len(shown) == lines
    assert {line.index("│") for line in shown} == {max(4, len(str(lines)))}
    assert [int(line.partition("│")[0]) for line in shown] == list(range(1, lines + 1))

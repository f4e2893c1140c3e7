"""The small parts that read text: tokens estimated, answers cleaned, events cut out of bytes, and the test model."""

import itertools
import time

import pytest

from exai.protocol.values import Usage
from exai.providers.answer_text import AnswerText
from exai.providers.base import ChatMessage, ModelRequest
from exai.providers.echo import MODEL, Echo
from exai.providers.sse import LONGEST_LINE, EventLines, LineTooLong
from exai.providers.tokens import estimate_tokens
from tests.providers.asking import answer, question


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 1),
        ("abcd", 2),
        ("a" * 400, 101),
        ("é" * 400, 101),
        ("你" * 100, 61),  # Chinese
        ("カタカナ" * 25, 61),  # Japanese
        ("ひらがな" * 25, 61),
        ("한국어한" * 25, 61),  # Korean
        ("a" * 40 + "你" * 10, 17),
        ("🙂" * 40, 11),
        ("\ud83d" * 40, 11),
        ("你a" * 100, 86),
    ],
)
def test_tokens_are_a_quarter_of_the_characters_and_six_tenths_of_east_asian_ones(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize("text", ["你" * 2**20, "你a" * 2**19])
def test_a_long_text_is_estimated_in_no_time(text: str) -> None:
    started = time.process_time()
    estimate_tokens(text)
    assert time.process_time() - started < 0.03


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["plain ", "Grüße 🙂"], "plain Grüße 🙂"),
        (["\x00a\x00"], "\ufffda\ufffd"),
        (["a\ud83d\ude00b"], "a😀b"),
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["a\ud83d", "", "\ude00b"], "a😀b"),
        (["\ud83d", "x"], "\ufffdx"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
        (["\ude00x"], "\ufffdx"),
        (["\ude00\ud83d"], "\ufffd\ufffd"),
        (["x\ud83d"], "x\ufffd"),
        (["\ufeffx\ude00"], "\ufeffx\ufffd"),
        (["\ud83d\x00"], "\ufffd\ufffd"),
    ],
)
def test_an_answer_comes_out_fit_to_store_and_send(pieces: list[str], text: str) -> None:
    cleaner = AnswerText()
    cleaned = [cleaner.clean(piece) for piece in pieces] + [cleaner.rest()]
    assert "".join(cleaned) == text
    for piece in cleaned:
        piece.encode()
    assert cleaner.rest() == ""


def test_events_are_the_same_however_their_bytes_are_cut() -> None:
    data = b': hello\n\ndata: {"a":"\xc3\xa9"}\r\n\r\nevent: x\ndata:[DONE]\n\ndata:   spaced  \n\n'
    expected = [b'{"a":"\xc3\xa9"}', b"[DONE]", b"spaced"]
    for size in range(1, len(data) + 1):
        lines = EventLines()
        pieces = (data[start : start + size] for start in range(0, len(data), size))
        assert list(itertools.chain.from_iterable(lines.feed(piece) for piece in pieces)) == expected


def test_a_line_that_never_ends_is_refused() -> None:
    lines = EventLines()
    assert list(lines.feed(b"data: " + b"x" * (LONGEST_LINE - 6))) == []
    with pytest.raises(LineTooLong):
        list(lines.feed(b"x"))


def test_a_long_line_that_drips_takes_no_time_to_gather() -> None:
    lines, started = EventLines(), time.process_time()
    for _ in range(2**16):
        assert list(lines.feed(b"x" * 16)) == []
    assert time.process_time() - started < 2


async def test_the_test_model_repeats_what_it_was_sent_and_says_what_it_is() -> None:
    answered = await answer(Echo(), question(MODEL, "Good morning"))
    assert answered.text == f"{MODEL} is a test model and repeats what it is sent: Good morning"
    assert answered.finished.reason == "stop"
    assert answered.pieces > 2


async def test_the_test_model_streams_any_length_in_a_bounded_number_of_pieces() -> None:
    text = "Grüße 🙂" * 20_000
    request = ModelRequest(
        MODEL, (ChatMessage("system", "s"), ChatMessage("user", "earlier"), ChatMessage("user", text))
    )
    answered = await answer(Echo(), request)
    assert answered.text.endswith(text)
    assert answered.pieces <= 65
    sent = estimate_tokens("s") + estimate_tokens("earlier") + estimate_tokens(text)
    assert answered.finished.usage == Usage(input_tokens=sent, output_tokens=estimate_tokens(answered.text))

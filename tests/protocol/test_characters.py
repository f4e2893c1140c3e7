"""Characters that cannot be stored or sent: NUL and halves of surrogate pairs, however a client spells them."""

import time

import pytest

from exai.protocol.codec import BadFrame, decode_request
from exai.protocol.errors import ErrorCode
from exai.protocol.frames import CallTool, Ping, RequestId


def refused(text: str) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        decode_request(text)
    return caught.value


def call(name: str = "chat", arguments: str = "{}", request_id: str = '"a"') -> str:
    return f'{{"op":"call_tool","request_id":{request_id},"name":"{name}","arguments":{arguments}}}'


@pytest.mark.parametrize(
    "text",
    [
        call(arguments=r'{"prompt":"a\u0000b"}'),
        call(arguments=r'{"prompt":"\u0000"}'),
        call(arguments=r'{"a\u0000":1}'),
        call(arguments=r'{"prompt":"\\\u0000"}'),
        call(arguments=r'{"prompt":"\\u0000 \u0000"}'),
        call(name=r"chat\u0000"),
        call(request_id=r'"a"', name=r"\n\u0000"),
    ],
)
def test_an_escaped_nul_is_refused(text: str) -> None:
    bad = refused(text)
    assert bad.error.code == ErrorCode.VALIDATION_ERROR
    assert "NUL" in bad.error.message
    assert bad.request_id == "a"


def test_a_nul_in_the_request_id_is_refused_with_that_id() -> None:
    bad = refused(r'{"op":"ping","request_id":"a\u0000"}')
    assert (bad.error.code, bad.request_id) == (ErrorCode.VALIDATION_ERROR, "a\x00")


@pytest.mark.parametrize(
    "written", [r"\\u0000", r"\\\\u0000", r"a\\u0000b", r"\\\\\\u0000", "u0000", r"\u0001", r"\n\\u0000"]
)
def test_a_backslash_before_the_letters_u0000_is_legal(written: str) -> None:
    request = decode_request(call(arguments=f'{{"prompt":"{written}"}}'))
    assert isinstance(request, CallTool)
    assert bytes(request.arguments).decode() == f'{{"prompt":"{written}"}}'


@pytest.mark.parametrize(
    "half", [r"\ud83d", r"\ude00", r"\uD800", r"\uDFFF", r"\ud83dx", r"\ud83d\ud83d", r"\ude00\ud83d"]
)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(half: str) -> None:
    for text in (call(name=half), call(arguments=f'{{"prompt":"{half}"}}'), call(arguments=f'{{"{half}":1}}')):
        bad = refused(text)
        assert bad.error.code == ErrorCode.VALIDATION_ERROR
        assert "surrogates" in bad.error.message
        assert bad.request_id == "a"


def test_half_of_a_pair_in_the_request_id_is_answered_with_what_can_be_sent_of_it() -> None:
    bad = refused(r'{"op":"ping","request_id":"a\ud83d"}')
    assert (bad.error.code, bad.request_id) == (ErrorCode.VALIDATION_ERROR, "a\ufffd")


@pytest.mark.parametrize(
    ("request_id", "told"),
    [(r'"\ud83d\ude00"', "😀"), (r'"\\ud83d"', r"\ud83d"), (r'"\\\ud83d\ude00"', "\\😀"), ('"😀"', "😀"), ("7", 7)],
)
def test_the_request_id_beside_a_lone_half_comes_back_unchanged(request_id: str, told: RequestId) -> None:
    bad = refused(call(name=r"\ud83d", request_id=request_id))
    assert (bad.error.code, bad.request_id) == (ErrorCode.VALIDATION_ERROR, told)


def test_a_whole_pair_and_an_escaped_backslash_are_legal() -> None:
    assert decode_request(r'{"op":"ping","request_id":"\ud83d\ude00"}') == Ping(request_id="😀")
    assert decode_request(r'{"op":"ping","request_id":"\\ud83d"}') == Ping(request_id=r"\ud83d")
    assert isinstance(decode_request(call(arguments=r'{"prompt":"\ud83d\ude00 \\ud83d"}')), CallTool)


def test_other_faults_beside_a_lone_half_are_not_blamed_on_it() -> None:
    assert "JSON" in refused(call(name=r"\ud83d", arguments=r'"\x"')).error.message
    assert refused(r'{"op":"nope","request_id":"a","x":"\ud83d"}').request_id == "a"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (r"\\ud83d\ude00", "\\ud83d\ufffd"),
        (r"\\\ud83dx\\", "\\\ufffdx\\"),
        (r"\ud83d\ud83d\ude00\ude00", "\ufffd😀\ufffd"),
        (r"\uD83D\uDE00\uDE00\\\\", "😀\ufffd\\\\"),
        (r"\ude00\ud83d\\ude00", "\ufffd\ufffd\\ude00"),
    ],
)
def test_halves_pairs_and_backslashes_side_by_side_are_told_apart(written: str, told: str) -> None:
    assert refused(call(name=r"\ud83d", request_id=f'"{written}"')).request_id == told


def test_a_frame_with_a_nul_is_no_json_whatever_else_it_holds() -> None:
    bad = refused(call(name=r"\ud83d", request_id='"a\x00\x00"'))
    assert (bad.error.code, bad.request_id) == (ErrorCode.INVALID_REQUEST, None)


@pytest.mark.parametrize(
    "text", ["\\" * 2**23, call(name="\\" * 2**23 + r"\ud83d"), call(name=r"a\n" * 2**21 + r"\ud83d", arguments="")]
)
def test_a_large_frame_of_escapes_holds_nobody_up(text: str) -> None:
    started = time.process_time()
    refused(text)
    assert time.process_time() - started < 0.35

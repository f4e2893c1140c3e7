"""Frames of a client after its hello: what is read from them, and what is said of those that cannot be."""

import json

import pytest

from exai.protocol.codec import LONGEST_REQUEST_ID, OPERATIONS, BadFrame, decode_request
from exai.protocol.errors import ErrorCode
from exai.protocol.frames import (
    CallTool,
    Cancel,
    Health,
    ListTools,
    NamedTool,
    Ping,
    Request,
    RequestId,
    Resume,
    RotateToken,
    ToolCall,
)

DEEP = 100_000


def refused(text: str) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        decode_request(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"op":"list_tools"}', ListTools()),
        ('{"op":"list_tools","request_id":"a"}', ListTools(request_id="a")),
        ('{"op":"cancel","request_id":7}', Cancel(request_id=7)),
        ('{"op":"resume","request_id":"a","after":4}', Resume(request_id="a", after=4)),
        ('{"op":"resume","request_id":"a"}', Resume(request_id="a", after=-1)),
        ('{"op":"ping"}', Ping()),
        ('{"op":"ping","request_id":null}', Ping()),
        ('{"op":"health"}', Health()),
        ('{"op":"rotate_token","old":"o","new":"n"}', RotateToken(old="o", new="n")),
        ('{"op":"rotate_token"}', RotateToken()),
    ],
)
def test_each_operation_is_read(text: str, request_: Request) -> None:
    assert decode_request(text) == request_


def test_a_call_keeps_its_arguments_as_they_were_sent() -> None:
    request = decode_request('{"op":"call_tool","request_id":"a","name":"chat","arguments":{ "prompt" : "hi" }}')
    assert isinstance(request, CallTool)
    assert (request.request_id, request.name, bytes(request.arguments)) == ("a", "chat", b'{ "prompt" : "hi" }')


def test_a_call_without_arguments_has_empty_ones() -> None:
    request = decode_request('{"op":"call_tool","name":"version"}')
    assert isinstance(request, CallTool)
    assert bytes(request.arguments) == b"{}"


@pytest.mark.parametrize(
    ("named", "name", "tool"),
    [
        ('"tool":{"name":"chat"}', None, NamedTool("chat")),
        ('"name":"chat"', "chat", None),
        ('"tool":{"name":"chat","version":2}', None, NamedTool("chat")),
    ],
)
def test_the_other_spelling_of_a_call_names_its_tool_in_either_place(
    named: str, name: str | None, tool: NamedTool | None
) -> None:
    request = decode_request(f'{{"op":"tool_call","request_id":1,{named},"arguments":{{"a":1}}}}')
    assert isinstance(request, ToolCall)
    assert (request.request_id, request.name, request.tool) == (1, name, tool)
    assert bytes(request.arguments) == b'{"a":1}'


def test_fields_that_are_not_known_are_ignored() -> None:
    assert decode_request('{"op":"ping","request_id":"a","client":{"name":"old"},"v":1}') == Ping(request_id="a")


def test_the_order_of_fields_is_free_and_the_last_of_a_repeated_one_counts() -> None:
    assert decode_request('{"request_id":"a","op":"ping","request_id":"b"}') == Ping(request_id="b")


@pytest.mark.parametrize(
    "request_id", ["a", "", "with spaces", "ü 你好 🙂", "x" * LONGEST_REQUEST_ID, 0, -5, 2**63, 10**40, 10**250]
)
def test_a_request_id_is_any_text_or_whole_number(request_id: RequestId) -> None:
    for ascii_only in (True, False):
        text = json.dumps({"op": "ping", "request_id": request_id}, ensure_ascii=ascii_only)
        assert decode_request(text) == Ping(request_id=request_id)


@pytest.mark.parametrize("value", ["true", "false", "1.5", "1.0", "[]", '["a"]', "{}", '{"a":1}'])
def test_a_request_id_of_another_type_is_refused_and_not_repeated(value: str) -> None:
    bad = refused(f'{{"op":"ping","request_id":{value}}}')
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert "request_id" in bad.error.message
    assert bad.request_id is None


@pytest.mark.parametrize("request_id", ["x" * (LONGEST_REQUEST_ID + 1), 10**LONGEST_REQUEST_ID], ids=["text", "number"])
def test_a_request_id_that_is_too_long_is_refused_with_that_id(request_id: RequestId) -> None:
    bad = refused(json.dumps({"op": "ping", "request_id": request_id}))
    assert bad.error.code == ErrorCode.VALIDATION_ERROR
    assert list(bad.error.details) == ["request_id"]
    assert bad.request_id == request_id


def test_a_number_that_nobody_can_read_is_refused() -> None:
    assert refused('{"op":"ping","request_id":' + "9" * 5000 + "}").error.code == ErrorCode.INVALID_REQUEST
    bad = refused('{"op":"resume","request_id":"a","after":' + "9" * 5000 + "}")
    assert (bad.error.code, bad.request_id) == (ErrorCode.INVALID_REQUEST, "a")


def test_huge_numbers_in_arguments_are_the_tools_business() -> None:
    request = decode_request('{"op":"call_tool","name":"chat","arguments":{"n":' + "9" * 5000 + "}}")
    assert isinstance(request, CallTool)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "ping", "{", '{"op":"ping"', '{"op":"ping"}}', '{"op":"ping"} x', "{'op':'ping'}"),
        *("[]", '[{"op":"ping"}]', "null", "true", "5", "1e400", '"ping"', "NaN"),
        *('{"op":"pi\x00ng"}', '{"op":"\\x"}', '{"op":"\\u00zz"}'),
    ],
)
def test_what_is_no_json_object_is_said_to_be_none(text: str) -> None:
    bad = refused(text)
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert bad.error.message == "The frame is not a JSON object."
    assert bad.request_id is None


@pytest.mark.parametrize(
    "op", ['"call_tools"', '"PING"', '""', '"hello"', '"ping\\u0000"', "5", "true", "[1]", '{"a":1}']
)
def test_an_unknown_operation_is_answered_with_those_that_there_are(op: str) -> None:
    bad = refused(f'{{"op":{op},"request_id":"a"}}')
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert bad.error.message == f"The frame's op is unknown; there are {', '.join(OPERATIONS)}."
    assert bad.request_id == "a"


@pytest.mark.parametrize("text", ['{"request_id":"a"}', '{"request_id":"a","op":null}'])
def test_a_frame_without_an_operation_is_told_so(text: str) -> None:
    bad = refused(text)
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert bad.error.message.startswith("The frame has no op; there are list_tools, call_tool, ")
    assert bad.request_id == "a"


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ('"op":"call_tool"', "name"),
        ('"op":"call_tool","name":5', "name"),
        ('"op":"call_tool","name":null', "name"),
        ('"op":"tool_call","tool":"chat"', "tool"),
        ('"op":"tool_call","tool":{}', "name"),
        ('"op":"tool_call","tool":{"name":5}', "tool.name"),
        ('"op":"resume","after":"x"', "after"),
        ('"op":"resume","after":1.5', "after"),
        ('"op":"rotate_token","old":5,"new":"n"', "old"),
    ],
)
def test_missing_and_mistyped_fields_are_named(rest: str, field: str) -> None:
    bad = refused(f'{{"request_id":"a",{rest}}}')
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert field in bad.error.message
    assert bad.request_id == "a"


@pytest.mark.parametrize("op", ["cancel", "resume"])
@pytest.mark.parametrize("request_id", ["", ',"request_id":null'])
def test_what_is_about_a_call_must_name_it(op: str, request_id: str) -> None:
    bad = refused(f'{{"op":"{op}"{request_id}}}')
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert "request_id" in bad.error.message


@pytest.mark.parametrize(
    "text", ['{"op":"call_tool","request_id":"a","name":"chat","arguments":', '{"request_id":"a",x']
)
def test_a_frame_that_was_cut_off_is_no_json(text: str) -> None:
    assert refused(text).error.code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("request_id", "told"),
    [
        ('"a"', "a"),
        ("7", 7),
        ("-7", -7),
        ('"ü 🙂"', "ü 🙂"),
        # Not read from a frame of which no more than that piece is looked at.
        ("12345678901234567890123", None),
        ("007", None),
        ("1.5", None),
        ('"a\\u0041"', None),
        ('"a\nb"', None),
    ],
)
@pytest.mark.parametrize("closed", [True, False])
def test_a_frame_that_is_nested_too_deeply_is_answered_with_its_request_id(
    request_id: str, told: RequestId | None, closed: bool
) -> None:
    end = "]" * DEEP + "}" if closed else ""
    bad = refused('{"op":"call_tool","request_id":' + request_id + ',"name":"chat","arguments":' + "[" * DEEP + end)
    assert bad.error.code == ErrorCode.INVALID_REQUEST
    assert bad.request_id == told

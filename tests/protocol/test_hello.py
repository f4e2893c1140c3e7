"""The first frame: what is read from it, and the protocol's word for one that is no hello."""

import json
import re
from typing import Any

import pytest

from exai.protocol.codec import LONGEST_HELLO, BadHello, decode_hello
from exai.protocol.frames import Hello

FRESH = re.compile(r"session-[0-9a-f]{16}")


def hello(**fields: Any) -> Hello:
    return decode_hello(json.dumps({"op": "hello", **fields}))


@pytest.mark.parametrize("session_id", ["abc", "A-z_09", "-__", "x" * 64])
def test_a_well_formed_session_id_is_kept(session_id: str) -> None:
    assert hello(session_id=session_id, token="t") == Hello(session_id, "t")


@pytest.mark.parametrize(
    "session_id", [None, "", "ab", "x" * 65, "a b c", "abc\n", "äbc", "a.bc", 12345, ["abc"], True]
)
def test_a_malformed_session_id_becomes_a_fresh_one(session_id: Any) -> None:
    greeted = hello(session_id=session_id, token="t")
    assert FRESH.fullmatch(greeted.session_id)
    assert greeted.token == "t"


def test_each_missing_session_id_becomes_another_one() -> None:
    assert FRESH.fullmatch(hello(token="t").session_id)
    assert hello(token="t").session_id != hello(token="t").session_id


@pytest.mark.parametrize("token", [None, 5, True, ["t"], {"t": 1}])
def test_a_token_that_is_no_text_is_none(token: Any) -> None:
    assert hello(session_id="abc", token=token).token == ""


def test_a_missing_token_is_none() -> None:
    assert hello(session_id="abc").token == ""


def test_unknown_fields_are_ignored() -> None:
    assert hello(session_id="abc", token="t", client="old", capabilities={"stream": [1]}) == Hello("abc", "t")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "hello", "{", '{"op":"hello"', '{"op":"hello"} x', '{"op":"hello","token":"\\ud800"}'),
        *("[]", '[{"op":"hello"}]', "null", "true", "5", '"hello"'),
        pytest.param("[" * 60_000, id="nested too deeply"),
        pytest.param('{"op":"hello","x":' + "9" * 5000 + "}", id="a number that nobody can read"),
    ],
)
def test_what_is_no_json_object_is_an_invalid_hello(text: str) -> None:
    with pytest.raises(BadHello) as caught:
        decode_hello(text)
    assert caught.value.error == "invalid_hello"


@pytest.mark.parametrize("op", [None, "ping", "HELLO", "call_tool", "", 5, ["hello"]])
def test_another_operation_is_a_missing_hello(op: Any) -> None:
    with pytest.raises(BadHello) as caught:
        decode_hello(json.dumps({"op": op, "session_id": "abc", "token": "t"}))
    assert caught.value.error == "missing_hello"


def test_an_object_without_an_operation_is_a_missing_hello() -> None:
    with pytest.raises(BadHello) as caught:
        decode_hello("{}")
    assert caught.value.error == "missing_hello"


def test_a_hello_is_taken_up_to_its_largest_size_and_not_read_beyond() -> None:
    text = json.dumps({"op": "hello", "session_id": "abc", "token": "t", "x": ""})
    largest = text.replace('"x": ""', '"x": "' + "x" * (LONGEST_HELLO - len(text)) + '"')
    assert len(largest) == LONGEST_HELLO
    assert decode_hello(largest) == Hello("abc", "t")
    with pytest.raises(BadHello) as caught:
        decode_hello(largest + " ")
    assert caught.value.error == "invalid_hello"

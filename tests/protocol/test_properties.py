"""Whatever text comes in, the outcome is a request or an error that can be sent: never anything else."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exai.gateway.answers import error_frame
from exai.protocol.codec import OPERATIONS, BadFrame, BadHello, decode_hello, decode_request, encode
from exai.protocol.frames import Hello, Request

bounded = settings(
    deadline=None,
    max_examples=150,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Text as JSON can hold it: with NUL, and with halves of surrogate pairs, which json.dumps escapes.
_strings = st.one_of(st.text(max_size=20), st.text(st.characters(codec=None), max_size=8), st.just("\x00"))
_numbers = st.one_of(st.integers(), st.integers(10**15, 10**40), st.floats())
_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, _strings),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_strings, inner, max_size=4)),
    max_leaves=12,
)
_fields = ("op", "request_id", "name", "tool", "arguments", "after", "old", "new", "session_id", "token")
_frames = st.fixed_dictionaries(
    {"op": st.sampled_from((*OPERATIONS, "hello"))},
    optional={
        "request_id": st.one_of(st.integers(), _strings, _values),
        "name": st.one_of(_strings, _values),
        "tool": st.one_of(st.fixed_dictionaries({"name": _strings}), _values),
        "arguments": _values,
        "after": st.one_of(st.integers(), _values),
        "old": st.one_of(_strings, _values),
        "new": st.one_of(_strings, _values),
        "session_id": st.one_of(st.from_regex(r"[A-Za-z0-9_-]{2,66}", fullmatch=True), _values),
        "token": st.one_of(_strings, _values),
    },
)
_characters = ('"', "\\", "\\\\", "{", "}", "[", "]", ":", ",", "-", "0", "\x00", "\n", "é", "🙂")
_escapes = ("\\u0000", "\\ud83d", "\\ude00", "\\x", "null", "1e999", "9" * 4400, "[" * 2000, '{"a":' * 2000)
_members = ('"request_id":1,', '"request_id":007,', '"request_id":true,', '"op":"ping",', '"arguments":')
_pieces = st.sampled_from((*_characters, *_escapes, *_members))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A frame that was valid until it was cut, or something was put in, doubled or swapped."""
    text = json.dumps(draw(_frames), ensure_ascii=draw(st.booleans()), allow_nan=True)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        kind = draw(st.sampled_from(("cut", "insert", "double", "swap", "drop")))
        if kind == "cut":
            text = text[:at]
        elif kind == "insert":
            text = text[:at] + draw(_pieces) + text[at:]
        elif kind == "double":
            text = text[:to] + text[at:]
        elif kind == "swap":
            text = text[:at] + text[at:to][::-1] + text[to:]
        else:
            text = text[:at] + text[to:]
    return text


def requested(text: str) -> Request | BadFrame:
    try:
        return decode_request(text)
    except BadFrame as bad:
        return bad


def greeted(text: str) -> Hello | BadHello:
    try:
        return decode_hello(text)
    except BadHello as bad:
        return bad


def check(text: str) -> None:
    """Both decoders give what they promise for this text."""
    request = requested(text)
    if isinstance(request, BadFrame):
        sent = json.loads(encode(error_frame(request.request_id, request.error)))
        assert sent["op"] == "error"
        assert sent["error"]["code"] in ("INVALID_REQUEST", "VALIDATION_ERROR")
        assert sent.get("request_id") == request.request_id
        assert type(request.request_id) in (str, int, type(None))
    hello = greeted(text)
    if isinstance(hello, BadHello):
        assert hello.error in ("invalid_hello", "missing_hello")
    else:
        assert 3 <= len(hello.session_id) <= 64


@bounded
@given(st.text())
def test_arbitrary_text_is_a_request_or_an_error(text: str) -> None:
    check(text)


@bounded
@given(_values)
def test_an_arbitrary_json_value_is_a_request_or_an_error(value: Any) -> None:
    check(json.dumps(value))


@bounded
@given(st.dictionaries(st.sampled_from(_fields), _values))
def test_a_frame_with_arbitrary_values_is_a_request_or_an_error(fields: dict[str, Any]) -> None:
    check(json.dumps(fields))


@bounded
@given(_frames)
def test_an_almost_valid_frame_is_a_request_or_an_error(frame: dict[str, Any]) -> None:
    check(json.dumps(frame))


@settings(bounded, max_examples=300)
@given(mutated())
def test_a_damaged_frame_is_a_request_or_an_error(text: str) -> None:
    check(text)


@bounded
@given(_frames, st.one_of(st.integers(), st.text(st.characters(codec="utf-8"), max_size=50)))
def test_an_object_that_is_refused_names_the_request_id_that_it_carries(frame: dict[str, Any], own: Any) -> None:
    frame["request_id"] = own
    text = json.dumps(frame)
    request = requested(text)
    # A number that cannot be read makes the whole of it unreadable.
    unreadable = isinstance(request, BadFrame) and "not a JSON object" in request.error.message
    assert unreadable or request.request_id == own

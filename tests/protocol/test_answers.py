"""What the hub sends: absent fields are left out, and errors carry their code and details."""

import json

import pytest

from exai.protocol.codec import encode
from exai.protocol.errors import ErrorCode, HubError, InternalError, InvalidValue, ProviderFailed, ServiceUnavailable
from exai.protocol.frames import CallToolResult, ErrorBody, HelloAck, Pong, Progress, TextOutput


def test_an_answer_names_its_operation_and_leaves_out_what_is_absent() -> None:
    assert json.loads(encode(Pong(timestamp="now"))) == {"op": "pong", "timestamp": "now"}
    assert json.loads(encode(Pong(request_id=0, timestamp="now"))) == {
        "op": "pong",
        "request_id": 0,
        "timestamp": "now",
    }
    assert json.loads(encode(HelloAck(ok=False, error="unauthorized"))) == {
        "op": "hello_ack",
        "ok": False,
        "error": "unauthorized",
    }
    assert "message" not in json.loads(encode(Progress(request_id="a", name="chat", t=1.5)))


def test_a_failed_call_carries_outputs_and_an_error() -> None:
    frame = CallToolResult(
        request_id="a", ok=False, outputs=[TextOutput("{}", {})], error=ErrorBody("TIMEOUT", "Too late.")
    )
    assert json.loads(encode(frame)) == {
        "op": "call_tool_res",
        "request_id": "a",
        "ok": False,
        "outputs": [{"type": "text", "text": "{}", "metadata": {}}],
        "error": {"code": "TIMEOUT", "message": "Too late."},
    }


def test_every_kind_of_error_has_a_code_of_its_own_but_faults_of_the_hub() -> None:
    codes = [kind.code for kind in HubError.__subclasses__() if kind.__module__ == HubError.__module__]
    assert {code for code in codes if codes.count(code) > 1} <= {ErrorCode.INTERNAL_ERROR}
    # Nothing raises this one yet.
    assert set(ErrorCode) - set(codes) == {ErrorCode.TOOL_EXECUTION_ERROR}


@pytest.mark.parametrize("name", ["message", "self", "code", "details", "args"])
def test_details_may_have_any_name_that_a_caller_chose(name: str) -> None:
    error = InvalidValue("The arguments are wrong.", **{name: "not known"})
    assert (error.message, error.details) == ("The arguments are wrong.", {name: "not known"})
    assert str(error) == "The arguments are wrong."


def test_what_may_succeed_later_says_so() -> None:
    assert ServiceUnavailable("Draining.").details == {"retryable": True}
    assert ServiceUnavailable("Draining.", message="x").details == {"retryable": True, "message": "x"}


def test_an_internal_error_gives_a_reference_only() -> None:
    error = InternalError("r-1")
    assert "r-1" in error.message
    assert error.details == {"reference": "r-1"}


def test_a_provider_s_failure_carries_the_partial_text_only_when_there_is_one() -> None:
    assert ProviderFailed("x", provider="p", retryable=True).details == {
        "provider": "p",
        "status": None,
        "retryable": True,
    }
    partial = ProviderFailed("x", provider="p", status=500, retryable=False, partial_text="abc")
    assert partial.details == {"provider": "p", "status": 500, "retryable": False, "partial_text": "abc"}

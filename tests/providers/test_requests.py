"""What a vendor is sent, to the byte."""

import pytest

from exai.providers.base import ChatMessage, Effort, FunctionCall, FunctionTool, ModelInfo, ModelRequest, Thinking
from tests.providers.asking import KEY, Endpoints, answer, question
from tests.providers.wire import DONE, STREAM, content, vendor_that_sends
from tests.upstream import Upstream


async def test_a_request_holds_model_messages_and_streaming_and_no_more(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    messages = (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Grüße 🙂"),
        ChatMessage("assistant", 'He said "hi"\n'),
        ChatMessage("user", "And?"),
    )
    await answer(endpoints.make(), ModelRequest(model, messages))
    [request] = upstream.wait_for_requests(model, 1)
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "model": model,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Grüße 🙂"},
            {"role": "assistant", "content": 'He said "hi"\n'},
            {"role": "user", "content": "And?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_an_answer_in_one_piece_is_asked_for_as_one(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    await answer(endpoints.make(), question(model, stream=False))
    [request] = upstream.wait_for_requests(model, 1)
    assert request.headers["accept"] == "application/json"
    messages = [{"role": "user", "content": "Good morning"}]
    assert request.body == {"model": model, "messages": messages, "stream": False}


async def test_the_bytes_of_a_plain_request_are_these(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    await answer(endpoints.make(), question(model, "é"))
    [request] = upstream.wait_for_requests(model, 1)
    assert request.raw == (
        b'{"model":"' + model.encode() + b'","messages":[{"role":"user","content":"\xc3\xa9"}],'
        b'"stream":true,"stream_options":{"include_usage":true}}'
    )


async def test_functions_their_calls_and_what_they_gave_are_sent_in_the_dialect_s_form(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    call = FunctionCall("call_1", "weather", '{"city":"Zürich"}')
    messages = (
        ChatMessage("user", "Rain?"),
        ChatMessage("assistant", "", calls=(call,)),
        ChatMessage("tool", "dry", answers="call_1"),
    )
    tools = (FunctionTool("weather", "Of a city", schema),)
    await answer(endpoints.make(), ModelRequest(model, messages, tools=tools, max_output_tokens=77))
    [request] = upstream.wait_for_requests(model, 1)
    assert request.body["messages"] == [
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "dry"},
    ]
    assert request.body["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": schema}}
    ]
    assert request.body["max_tokens"] == 77


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("max", "high"), (None, None)],
)
async def test_a_thinking_mode_is_an_effort_where_the_model_thinks(
    upstream: Upstream, endpoints: Endpoints, model: str, thinking: Thinking | None, effort: str | None
) -> None:
    for thinks in (True, False):
        provider = endpoints.make(models=[ModelInfo(model, 8000, thinking=thinks)])
        await answer(provider, question(model, thinking=thinking))
        body = upstream.requests(model)[-1].body
        assert body.get("reasoning_effort") == (effort if thinks else None)


async def test_a_wish_that_an_endpoint_does_not_know_is_not_sent(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, web_search=True)])
    await answer(provider, question(model, web_search=True, conversation="c"))
    [request] = upstream.wait_for_requests(model, 1)
    assert list(request.body) == ["model", "messages", "stream", "stream_options"]
    assert "idempotency-key" not in request.headers


@pytest.mark.parametrize("call_id", ["0b51a3a2-6f3e-4b1c-9a51-1d7f9f7f2c11", "req-7", "a b\r\nX-Evil: 1", "ü" * 500])
async def test_a_call_is_named_to_the_vendor_by_an_id_that_a_header_can_hold(
    upstream: Upstream, endpoints: Endpoints, model: str, call_id: str
) -> None:
    provider = endpoints.make()
    for _ in range(2):
        await answer(provider, question(model, call_id=call_id))
    first, again = (request.headers["x-request-id"] for request in upstream.requests(model))
    assert first == again
    assert first == call_id or (len(first) == 64 and first.isalnum())
    assert "x-evil" not in upstream.requests(model)[0].headers


async def test_a_request_of_no_call_has_no_such_id(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    await answer(endpoints.make(), question(model))
    assert "x-request-id" not in upstream.requests(model)[0].headers


@pytest.mark.parametrize("temperature", [0, 0.25, 1])
async def test_a_temperature_is_sent_as_given(
    upstream: Upstream, endpoints: Endpoints, model: str, temperature: float
) -> None:
    await answer(endpoints.make(), question(model, temperature=temperature))
    [request] = upstream.wait_for_requests(model, 1)
    assert request.body["temperature"] == temperature


async def test_without_a_temperature_the_vendor_s_own_holds(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    await answer(endpoints.make(), question(model))
    [request] = upstream.wait_for_requests(model, 1)
    assert "temperature" not in request.body


async def test_an_endpoint_without_a_key_is_sent_none(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    await answer(endpoints.make(key=""), question(model))
    [request] = upstream.wait_for_requests(model, 1)
    assert "authorization" not in request.headers


async def test_cookies_of_a_vendor_are_not_kept(endpoints: Endpoints) -> None:
    status, headers = STREAM
    head = status, {**headers, "Set-Cookie": "visitor=1"}
    async with vendor_that_sends(content("a", finish_reason='"stop"'), DONE, head=head) as wire:
        # By name: cookies of bare addresses are never kept.
        provider = endpoints.make(wire.url.replace("127.0.0.1", "localhost"))
        await answer(provider, question("m"))
        await answer(provider, question("m"))
        assert len(wire.requests) == 2
        assert all(b"cookie" not in request.lower() for request in wire.requests)


async def test_a_provider_does_not_show_its_key(endpoints: Endpoints) -> None:
    provider = endpoints.make()
    assert KEY not in repr(provider)
    assert KEY not in str(provider)
    assert "vendor" in repr(provider)


async def test_functions_and_the_wish_which_to_call_go_along(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    add = FunctionTool("add", "Adds.", {"type": "object"})
    messages = (
        ChatMessage("user", "Add."),
        ChatMessage("assistant", "", calls=(FunctionCall("1", "add", "{}"),), reasoning="hm"),
        ChatMessage("tool", "3", answers="1"),
    )
    choice = {"type": "function", "function": {"name": "add"}}
    await answer(endpoints.make(), ModelRequest(model, messages, tools=(add,), tool_choice=choice))
    await answer(endpoints.make(), ModelRequest(model, messages, tool_choice=choice))
    with_tools, without = upstream.wait_for_requests(model, 2)
    assert with_tools.body["tool_choice"] == choice
    assert with_tools.body["messages"][1]["reasoning_content"] == "hm"
    assert not {"tools", "tool_choice"} & set(without.body)


async def test_headers_of_an_answer_are_told_to_whoever_wants_them(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, answer_headers={"X-RateLimit-Remaining": "5", "Set-Cookie": "a=b", "X-Request-Id": KEY})
    wanted, unwanted = Effort(headers={}), Effort()
    for effort in (wanted, unwanted):
        await answer(endpoints.make(), ModelRequest(model, (ChatMessage("user", "Hi"),), effort=effort))
    assert wanted.headers is not None
    assert (wanted.headers["x-ratelimit-remaining"], wanted.headers["x-request-id"]) == ("5", "…")
    assert "set-cookie" not in wanted.headers
    assert unwanted.headers is None

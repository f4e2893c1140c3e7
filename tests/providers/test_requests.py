"""What a vendor is sent, to the byte."""

import pytest

from exai.providers.base import ChatMessage, ModelRequest
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

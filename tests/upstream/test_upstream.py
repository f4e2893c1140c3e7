"""The upstream itself: what it answers and remembers, seen by a plain HTTP client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.upstream import Upstream

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    running.reset()
    return running


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


def question(model: str, text: str = "Good morning", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def streamed(model: str, text: str = "Good morning") -> dict[str, Any]:
    return question(model, text, stream=True, stream_options={"include_usage": True})


async def post(session: aiohttp.ClientSession, upstream: Upstream, body: dict[str, Any]) -> tuple[int, bytes]:
    async with session.post(f"{upstream.url}/chat/completions", json=body) as response:
        return response.status, await response.read()


def events(body: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def text_of(body: bytes, field: str = "content") -> str:
    return "".join(event["choices"][0]["delta"].get(field, "") for event in events(body) if event["choices"])


async def test_an_answer_echoes_the_last_user_message(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    status, body = await post(session, upstream, question("steady"))
    assert status == 200
    answer = json.loads(body)
    assert answer["choices"][0]["message"]["content"] == "You said: Good morning"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


async def test_a_stream_cuts_the_text_and_ends_with_usage(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    usage = {"prompt": 11, "completion": 7, "cached": 5, "reasoning": 2}
    upstream.behave("m", text="one two three four", chunks=6, reasoning="first this", usage=usage)
    _, body = await post(session, upstream, streamed("m"))
    assert text_of(body) == "one two three four"
    assert text_of(body, "reasoning_content") == "first this"
    assert sum("content" in event["choices"][0]["delta"] for event in events(body) if event["choices"]) == 6 + 1
    assert events(body)[-2]["choices"][0]["finish_reason"] == "stop"
    last = events(body)[-1]
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (11, 7)
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}


async def test_usage_is_streamed_only_when_asked_for(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    _, body = await post(session, upstream, question("steady", stream=True))
    assert all(event["choices"] for event in events(body))


async def test_the_request_is_remembered_to_the_byte(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    raw = b'{ "model":"m", "messages":[{"role":"user","content":"\xc3\xa9"}] }'
    headers = {"Authorization": "Bearer key", "Idempotency-Key": "1"}
    async with session.post(f"{upstream.url}/chat/completions", data=raw, headers=headers):
        pass
    [request] = upstream.wait_for_requests("m", 1)
    assert (request.method, request.path, request.raw) == ("POST", "/v1/chat/completions", raw)
    assert request.body["messages"][0]["content"] == "é"
    assert (request.headers["authorization"], request.headers["idempotency-key"]) == ("Bearer key", "1")
    assert upstream.requests("another") == []


async def test_the_models_are_those_with_a_behaviour_and_steady(
    upstream: Upstream, session: aiohttp.ClientSession
) -> None:
    upstream.behave("m", text="hello")
    async with session.get(f"{upstream.url}/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["steady", "m"]


async def test_failures_come_with_their_body_and_then_cease(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", status=429, retry_after=3, error_body={"error": {"message": "slow down"}}, first_failures=1)
    async with session.post(f"{upstream.url}/chat/completions", json=streamed("m")) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert await response.json() == {"error": {"message": "slow down"}}
    status, body = await post(session, upstream, streamed("m"))
    assert (status, text_of(body)) == (200, "You said: Good morning")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_broken_stream_gives_its_beginning_and_an_error(
    upstream: Upstream, session: aiohttp.ClientSession, reset: bool
) -> None:
    upstream.behave("m", text="one two", chunks=2, break_after_chunks=1, reset=reset)
    received = b""
    async with session.post(f"{upstream.url}/chat/completions", json=streamed("m")) as response:
        while b"one" not in received:
            received += await response.content.readany()
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    assert b"two" not in received
    assert upstream.disconnects("m") == []


async def test_a_stalled_stream_ends_when_its_client_goes(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", text="one two", chunks=2, stall_after_chunks=1)
    before = time.time()
    response = await session.post(f"{upstream.url}/chat/completions", json=streamed("m"))
    while b'"one' not in await response.content.readline():
        pass
    response.close()
    assert before < await asyncio.to_thread(upstream.wait_for_disconnect, "m") < time.time() + 1
    assert len(upstream.disconnects("m")) == 1


async def test_a_client_that_leaves_before_the_first_byte_is_noticed(upstream: Upstream) -> None:
    upstream.behave("m", delay_s=60)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
        with pytest.raises(TimeoutError):
            await post(session, upstream, question("m"))
    await asyncio.to_thread(upstream.wait_for_disconnect, "m")


async def test_garbage_and_errors_come_inside_the_stream(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("garbage", garbage_after_chunks=1)
    status, body = await post(session, upstream, streamed("garbage"))
    assert (status, b"[DONE]" in body, b"\xff" in body) == (200, False, True)
    upstream.behave("failing", fail_in_stream="overloaded")
    status, body = await post(session, upstream, streamed("failing"))
    assert status == 200
    assert json.loads(body.splitlines()[-2].removeprefix(b"data: "))["error"]["message"] == "overloaded"


async def test_a_stream_can_be_refused_silently(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", ignore_stream=True)
    _, body = await post(session, upstream, streamed("m"))
    assert json.loads(body)["object"] == "chat.completion"


async def test_awkward_writes_carry_the_same_answer(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", text="Grüße, 你好 🙂", split_utf8=True, comments=True)
    async with session.post(f"{upstream.url}/chat/completions", json=streamed("m")) as response:
        parts = [part async for part in response.content.iter_any()]
    assert text_of(b"".join(parts)) == "Grüße, 你好 🙂"
    assert b": ping\r\n\r\n" in b"".join(parts)
    assert any(part.endswith((b"\r", "你".encode()[:1])) for part in parts)


async def test_a_search_wants_its_own_arguments_back(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", text="found", searches=1)
    tools = [{"type": "builtin_function", "function": {"name": "$web_search"}}]
    _, body = await post(session, upstream, question("m", tools=tools))
    choice = json.loads(body)["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "$web_search")

    async def answered_with(content: str) -> tuple[int, bytes]:
        asked = question("m", tools=tools)
        asked["messages"].append({"role": "tool", "tool_call_id": call["id"], "content": content})
        return await post(session, upstream, asked)

    assert (await answered_with("{}"))[0] == 400
    status, body = await answered_with(call["function"]["arguments"])
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "found")


async def test_without_the_tool_nothing_is_searched(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", text="so", searches=1, sources=[{"link": "https://a.example"}])
    _, body = await post(session, upstream, question("m"))
    answer = json.loads(body)
    assert answer["choices"][0]["message"]["content"] == "so"
    assert "web_search" not in answer


async def test_calls_stream_in_fragments_that_join(upstream: Upstream, session: aiohttp.ClientSession) -> None:
    upstream.behave("m", calls=[{"id": "1", "name": "f", "arguments": '{"a":1}'}], call_fragments=3)
    _, body = await post(session, upstream, streamed("m"))
    deltas = [event["choices"][0]["delta"] for event in events(body) if event["choices"]]
    functions = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
    assert len(functions) == 4
    assert "".join(function["arguments"] for function in functions) == '{"a":1}'

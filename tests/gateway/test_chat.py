"""chat end to end: the frames of a call in their order, streaming, errors of the vendor, cancel."""

import asyncio
import time

import psycopg
import pytest

from tests.gateway.wire import envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


async def test_a_call_is_acknowledged_makes_progress_and_ends_with_its_result(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="Hello, agent.")
    async with wire(hub.ws_url, token) as connection:
        ack, progress, *_, result = await connection.call("chat", {"prompt": "Hi", "model": model}, 42)
    assert (ack["op"], ack["accepted"], ack["name"], ack["request_id"]) == ("call_tool_ack", True, "chat", 42)
    assert ack["timeout"] == 300
    assert (progress["op"], progress["message"]) == ("progress", f"Calling {model}")
    assert (result["op"], result["ok"], result["request_id"]) == ("call_tool_res", True, 42)
    assert "text" not in result
    answer = envelope(result)
    assert answer["content"] == "Hello, agent."
    assert answer["status"] == "continuation_available"
    assert answer["metadata"]["model_used"] == model
    assert answer["metadata"]["provider_used"] == "upstream"
    assert answer["metadata"]["conversation_ready"]
    assert answer["continuation_offer"]["remaining_turns"] == 19
    latency = result["outputs"][0]["metadata"]["latency_metrics"]
    assert latency["provider_name"] == "upstream"
    assert latency["latency_ms"] >= latency["provider_ms"] > 0


async def test_streamed_chunks_are_numbered_and_joined_equal_the_content(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="Many wörds, 多字节, and 🙂 to cut.", chunks=9, split_utf8=True, reasoning="thinking")
    async with wire(hub.ws_url, token) as connection:
        frames = await connection.call("chat", {"prompt": "Hi", "model": model, "stream": True})
    # On a busy machine there are signs of life between them.
    operations = [frame["op"] for frame in frames if frame["op"] != "progress"]
    chunks = [frame for frame in frames if frame["op"] == "stream_chunk"]
    assert operations == ["call_tool_ack", *["stream_chunk"] * 9, "stream_complete", "call_tool_res"]
    assert [chunk["index"] for chunk in chunks] == list(range(9))
    answer = envelope(frames[-1])
    assert "".join(chunk["chunk"] for chunk in chunks) == answer["content"] == "Many wörds, 多字节, and 🙂 to cut."
    assert answer["metadata"]["reasoning"] == "thinking"


async def test_a_streamed_and_a_whole_answer_are_the_same(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="The same.")
    async with wire(hub.ws_url, token) as connection:
        streamed = envelope((await connection.call("chat", {"prompt": "a", "model": model, "stream": True}))[-1])
        whole = envelope((await connection.call("chat", {"prompt": "a", "model": model}))[-1])
    for answer in (streamed, whole):
        answer["continuation_offer"]["continuation_id"] = "any"
        answer["continuation_offer"]["note"] = "any"
    assert streamed == whole


async def test_a_silent_model_does_not_mean_a_silent_hub(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=1.0)
    async with wire(hub.ws_url, token) as connection:
        frames = await connection.call("chat", {"prompt": "Hi", "model": model})
    # The tests' hub gives a sign of life every 0.2 s; one more progress frame tells the stage.
    assert len([frame for frame in frames if frame["op"] == "progress"]) >= 4
    assert frames[-1]["op"] == "call_tool_res"


async def test_the_vendor_is_sent_exactly_what_was_asked(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.call("chat", {"prompt": "What is this?", "model": model, "temperature": 0.25})
    (request,) = upstream.requests(model)
    assert request.headers["authorization"] == "Bearer sk-upstream-secret"
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert request.body["messages"][-1]["content"] == "What is this?"
    assert request.body["temperature"] == 0.25
    assert request.body["stream"] is True


@pytest.mark.parametrize(
    ("behaviour", "code", "retryable"),
    [
        ({"status": 401}, "PROVIDER_ERROR", False),
        ({"status": 429, "retry_after": 31}, "PROVIDER_ERROR", True),
        ({"status": 500}, "PROVIDER_ERROR", True),
        ({"break_after_chunks": 1, "chunks": 3}, "PROVIDER_ERROR", True),
        ({"garbage_after_chunks": 1, "chunks": 3}, "PROVIDER_ERROR", True),
    ],
)
async def test_a_failing_vendor_is_an_error_in_the_call_and_is_recorded(
    hub: RunningHub,
    token: str,
    upstream: Upstream,
    model: str,
    database: psycopg.Connection,
    behaviour: dict[str, object],
    code: str,
    retryable: bool,
) -> None:
    upstream.behave(model, **behaviour)
    async with wire(hub.ws_url, token) as connection:
        ack, *_, result = await connection.call("chat", {"prompt": "Hi", "model": model})
    assert result["error"]["code"] == code
    assert result["error"]["details"]["retryable"] is retryable
    assert result["error"]["details"]["provider"] == "upstream"
    assert "sk-upstream-secret" not in str(result)
    assert await _record(database, ack["call_id"]) == ("failed", code, model)


async def test_a_stream_that_breaks_keeps_its_partial_text_in_the_error(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="Half of it.", chunks=2, break_after_chunks=1)
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {"prompt": "Hi", "model": model, "stream": True}))[-1]
    assert result["error"]["details"]["partial_text"]
    assert "Half of it.".startswith(result["error"]["details"]["partial_text"])


async def test_a_call_past_its_timeout_ends_with_timeout_and_closes_the_upstream(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    with RunningHub({**hub_environment, "EXAI_TOOL_TIMEOUT_SECS": "0.5"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            result = (await connection.call("chat", {"prompt": "Hi", "model": model}))[-1]
    assert result["error"]["code"] == "TIMEOUT"
    await asyncio.to_thread(upstream.wait_for_disconnect, model)


async def test_a_vendor_that_falls_silent_is_told_from_a_slow_one(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, chunks=4, stall_after_chunks=2)
    with RunningHub({**hub_environment, "EXAI_READ_TIMEOUT_SECS": "0.5"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            result = (await connection.call("chat", {"prompt": "Hi", "model": model}))[-1]
    assert result["error"]["code"] == "PROVIDER_ERROR"
    assert "silent" in result["error"]["message"]


async def test_cancel_ends_the_call_and_closes_the_upstream_connection(
    hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    upstream.behave(model, delay_s=30)
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model}, "slow")
        (ack, *_) = await connection.until("progress", "slow")
        await asyncio.to_thread(upstream.wait_for_requests, model, 1)
        cancelled_at = time.time()
        await connection.send({"op": "cancel", "request_id": "slow"})
        # The answer to cancel and the end of the call may come in either order.
        ended, found = None, None
        while ended is None or found is None:
            frame = await connection.receive()
            if frame["op"] == "cancelled":
                found = frame["found"]
            elif frame["op"] == "call_tool_res":
                ended = frame["error"]["code"]
    assert (ended, found) == ("CANCELLED", True)
    disconnected_at = await asyncio.to_thread(upstream.wait_for_disconnect, model)
    assert disconnected_at - cancelled_at < 1.0
    assert await _record(database, ack["call_id"]) == ("cancelled", "CANCELLED", model)


@pytest.mark.parametrize("request_id", ["unknown", "ended"])
async def test_cancel_of_no_running_call_finds_nothing(hub: RunningHub, token: str, request_id: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.call("version", {}, "ended")
        await connection.send({"op": "cancel", "request_id": request_id})
        assert await connection.receive() == {"op": "cancelled", "request_id": request_id, "found": False}


async def test_a_lost_connection_does_not_stop_a_call(
    hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    upstream.behave(model, delay_s=0.5, text="Kept.")
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model})
        ack = await connection.receive()
    assert await _record(database, ack["call_id"]) == ("succeeded", "", model)
    stored = database.execute(
        "SELECT content FROM messages WHERE metadata->>'call_id' = %s ORDER BY position", (ack["call_id"],)
    ).fetchall()
    assert stored == [("Hi",), ("Kept.",)]


async def test_calls_of_one_connection_run_at_the_same_time(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3)
    async with wire(hub.ws_url, token) as connection:
        started = time.monotonic()
        for number in range(9):
            await connection.start("chat", {"prompt": "Hi", "model": model}, number)
        ended: set[int] = set()
        while len(ended) < 9:
            frame = await connection.receive()
            if frame["op"] == "call_tool_res":
                assert frame["ok"]
                ended.add(frame["request_id"])
        # One after the other they would take 2.7 s.
        assert time.monotonic() - started < 2.0


async def test_control_characters_of_a_model_are_made_storable(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="a\0b", chunks=1)
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {"prompt": "Hi", "model": model}))[-1]
    assert envelope(result)["content"] == "a\ufffdb"


async def test_the_test_model_repeats_what_it_is_sent(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {"prompt": "parrot  this\n", "model": "exai-echo"}))[-1]
    answer = envelope(result)
    assert answer["content"].endswith("parrot  this\n")
    assert "test model" in answer["content"]


async def _record(database: psycopg.Connection, call_id: str) -> tuple[object, ...]:
    """The record of a call as soon as there is one."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        row = database.execute("SELECT status, error_code, model FROM tool_calls WHERE id = %s", (call_id,)).fetchone()
        if row:
            return row
        await asyncio.sleep(0.02)
    raise AssertionError("the call was never recorded")

"""By which names a running or ended call is found: its request_id in its session, the same question asked again."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.gateway.wire import Frame, Wire, envelope, until_all_are_gone, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(hub_environment) as other:
        yield other


def _indexes(frames: list[Frame]) -> list[int]:
    return [frame["index"] for frame in frames if frame["op"] == "stream_chunk"]


async def _begin(connection: Wire, arguments: Frame, request_id: Any) -> None:
    await connection.start("chat", arguments, request_id)
    await connection.until("progress", request_id)


def _running_calls() -> int:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return sum(int(str(client.hlen(key))) for key in client.scan_iter("exai:running:*"))


async def test_a_cancel_in_one_breath_with_its_call_leaves_nothing_behind(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.1)
    async with wire(hub.ws_url, token) as connection:
        for number in range(10):
            await connection.start("chat", {"prompt": f"Hi {number}", "model": model}, number)
            await connection.send({"op": "cancel", "request_id": number})
            ended = (await connection.until("call_tool_res", number))[-1]
            assert ended["error"]["code"] == "CANCELLED"
        for _ in range(60):
            if not _running_calls():
                break
            await asyncio.sleep(0.05)
        assert _running_calls() == 0
        for number in range(10):
            repeated = (await connection.call("chat", {"prompt": f"Hi {number}", "model": model}, number))[-1]
            assert repeated["ok"]


async def test_an_attached_caller_gets_every_chunk_though_the_first_has_its_result_already(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="abcdefghijklmnopqrst", chunks=20, chunk_delay_s=0.01, delay_s=0.4)
    for number in range(5):
        arguments = {"prompt": f"Hi {number}", "model": model, "stream": True}
        async with wire(hub.ws_url, token) as first, wire(other_hub.ws_url, token) as second:
            await _begin(first, arguments, number)
            await second.start("chat", arguments, number)
            await second.until("call_tool_ack", number)
            following = asyncio.create_task(second.until("call_tool_res", number))
            await first.until("call_tool_res", number)
            await first.send({"op": "ping"})  # tells that the result has arrived
            assert _indexes(await following) == list(range(20))


async def _lose(hub: RunningHub, token: str, arguments: Frame, request_id: str) -> None:
    """Begins a call, and loses the connection."""
    async with wire(hub.ws_url, token) as connection:
        await _begin(connection, arguments, request_id)
    await until_all_are_gone()


async def test_a_question_that_was_asked_again_can_be_resumed_by_its_new_id(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    arguments = {"prompt": "Hi", "model": model}
    await _lose(hub, token, arguments, "first")
    async with wire(other_hub.ws_url, token) as connection:
        await connection.start("chat", arguments, "second")
        await connection.until("call_tool_ack", "second")
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "resume", "request_id": "second", "after": -1})
        assert (await connection.receive())["op"] != "error"


async def test_a_question_that_was_asked_again_is_repeated_by_its_new_id_without_another_model_call(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    arguments = {"prompt": "Hi", "model": model}
    await _lose(hub, token, arguments, "first")
    async with wire(other_hub.ws_url, token) as connection:
        await connection.call("chat", arguments, "second")
        await connection.send({"op": "ping"})  # tells that the result has arrived
        await connection.until("pong")
        await connection.call("chat", arguments, "second")
    assert len(upstream.requests(model)) == 1


async def test_a_call_that_another_session_repeated_can_be_resumed_there_too(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    arguments = {"prompt": "Hi", "model": model}
    async with wire(hub.ws_url) as first:
        await first.hello(token, "lost")
        await _begin(first, arguments, "same")
    async with wire(other_hub.ws_url) as second:
        await second.hello(token, "found")
        await second.start("chat", arguments, "same")
        await second.until("call_tool_ack", "same")
    async with wire(hub.ws_url) as third:
        await third.hello(token, "found")
        await third.send({"op": "resume", "request_id": "same", "after": -1})
        assert (await third.receive())["op"] != "error"
        await third.until("call_tool_res", "same")


async def _conversation(connection: Wire, model: str) -> str:
    begun = envelope((await connection.call("chat", {"prompt": "one", "model": model}, "begin"))[-1])
    return str(begun["continuation_offer"]["continuation_id"])


@pytest.mark.parametrize("busy_elsewhere", [False, True])
@pytest.mark.parametrize("op", ["resume", "cancel"])
async def test_a_call_that_waits_for_its_conversation_is_known_by_its_id(
    hub: RunningHub,
    other_hub: RunningHub,
    token: str,
    upstream: Upstream,
    model: str,
    busy_elsewhere: bool,
    op: str,
) -> None:
    async with wire(hub.ws_url, token) as connection, wire(other_hub.ws_url, token) as elsewhere:
        continuation_id = await _conversation(connection, model)
        upstream.behave(model, delay_s=1.0)
        arguments = {"prompt": "two", "model": model, "continuation_id": continuation_id}
        await _begin(elsewhere if busy_elsewhere else connection, {**arguments, "prompt": "busy"}, "busy")
        await connection.start("chat", arguments, "waiting")
        await connection.until("call_tool_ack", "waiting")
        async with wire(other_hub.ws_url, token) as third:
            await third.send({"op": op, "request_id": "waiting", "after": -1})
            if op == "resume":
                assert (await third.until("call_tool_res", "waiting"))[-1]["ok"]
            else:
                assert (await third.until("cancelled", "waiting"))[-1]["found"]
                ended = (await connection.until("call_tool_res", "waiting"))[-1]
                assert ended["error"]["code"] == "CANCELLED"


async def test_a_repeat_on_a_connection_that_is_attached_already_changes_nothing(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5, chunks=4)
    arguments = {"prompt": "Hello there", "model": model, "stream": True}
    async with wire(hub.ws_url, token) as first, wire(other_hub.ws_url, token) as second:
        await _begin(first, arguments, "same")
        await second.start("chat", arguments, "same")
        await second.until("call_tool_ack", "same")
        await second.start("chat", arguments, "same")
        frames = await second.until("call_tool_res", "same")
    assert _indexes(frames) == [0, 1, 2, 3]


async def test_resume_never_gives_another_sessions_answer(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url) as one, wire(hub.ws_url) as other:
        await one.hello(token, "one")
        await other.hello(token, "other")
        assert (await one.call("chat", {"prompt": "for one", "model": model}, 1))[-1]["ok"]
        # The other session counts alike, and its own call 1 never arrived.
        await other.send({"op": "resume", "request_id": 1, "after": -1})
        error = await other.receive()
    assert (error["op"], error["error"]["code"]) == ("error", "NOT_FOUND")


async def test_sessions_that_count_alike_do_not_make_the_hub_forget_a_running_call(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=1.5, text="Still known.")
    async with wire(hub.ws_url) as first:
        await first.hello(token, "first")
        await first.start("chat", {"prompt": "slow", "model": model}, 1)
        await first.until("progress", 1)
        for number in range(20):
            async with wire(hub.ws_url) as another:
                await another.hello(token, f"session-{number}")
                assert (await another.call("version", {"model": str(number)}, 1))[-1]["ok"]
    async with wire(hub.ws_url) as again:
        await again.hello(token, "first")
        await again.send({"op": "resume", "request_id": 1, "after": -1})
        result = (await again.until("call_tool_res", 1))[-1]
    assert envelope(result)["content"] == "Still known."


async def test_a_cancel_from_another_session_finds_the_only_running_call_of_that_id(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    async with wire(hub.ws_url) as one, wire(other_hub.ws_url) as two:
        await one.hello(token, "one")
        await two.hello(token, "two")
        await _begin(one, {"prompt": "Hi", "model": model}, "only")
        await two.send({"op": "cancel", "request_id": "only"})
        assert (await two.until("cancelled", "only"))[-1]["found"]
        assert (await one.until("call_tool_res", "only"))[-1]["error"]["code"] == "CANCELLED"


async def test_a_cancel_from_another_session_stops_none_of_several_calls_of_that_id(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.4)
    async with wire(hub.ws_url) as one, wire(hub.ws_url) as two, wire(hub.ws_url) as three:
        for session, connection in (("one", one), ("two", two), ("three", three)):
            await connection.hello(token, session)
        for connection in (one, two):
            await _begin(connection, {"prompt": f"Hi {id(connection)}", "model": model}, 1)
        await three.send({"op": "cancel", "request_id": 1})
        assert not (await three.until("cancelled", 1))[-1]["found"]
        for connection in (one, two):
            assert (await connection.until("call_tool_res", 1))[-1]["ok"]

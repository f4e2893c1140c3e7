"""A caller that loses its connection, reaches another process, or asks twice: never two model calls, never another's
answer."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, until_all_are_gone, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    """A second web process beside the first."""
    with RunningHub(hub_environment) as other:
        yield other


def _chunks(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame["op"] == "stream_chunk"]


def _without_progress(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame["op"] != "progress"]


async def _lose_after_chunks(url: str, token: str, arguments: Frame, request_id: Any, count: int) -> list[Frame]:
    """Starts a streaming call and drops the connection once so many chunks have come; what had come."""
    frames: list[Frame] = []
    async with wire(url, token) as connection:
        await connection.start("chat", {**arguments, "stream": True}, request_id)
        while len(_chunks(frames)) < count:
            frames.append(await connection.receive())
    return frames


@pytest.mark.parametrize("after", [-1, 0, 2])
async def test_resume_on_another_process_gives_what_was_missed_byte_for_byte(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str, after: int
) -> None:
    upstream.behave(model, text="abcdefghijklmnopqrst", chunks=10, chunk_delay_s=0.05)
    seen = await _lose_after_chunks(hub.ws_url, token, {"prompt": "Hi", "model": model}, "lost", after + 1 or 1)
    async with wire(other_hub.ws_url, token) as connection:
        await connection.send({"op": "resume", "request_id": "lost", "after": after})
        frames = await connection.until("call_tool_res", "lost")
    resumed = _without_progress(frames)
    assert [frame["index"] for frame in _chunks(resumed)] == list(range(after + 1, 10))
    text = "".join(chunk["chunk"] for chunk in [*_chunks(seen)[: after + 1], *_chunks(resumed)])
    assert text == "abcdefghijklmnopqrst" == envelope(resumed[-1])["content"]
    for chunk in _chunks(resumed):
        if chunk["index"] < len(_chunks(seen)):
            assert chunk == _chunks(seen)[chunk["index"]]
    assert [frame["op"] for frame in resumed[-2:]] == ["stream_complete", "call_tool_res"]
    assert len(upstream.requests(model)) == 1


async def test_a_result_that_came_while_nobody_listened_is_found_by_resume(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3, text="Kept for you.")
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model}, 7)
        await connection.until("progress", 7)
    await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    async with wire(other_hub.ws_url, token) as connection:
        await connection.send({"op": "resume", "request_id": 7, "after": -1})
        result = (await connection.until("call_tool_res", 7))[-1]
    assert envelope(result)["content"] == "Kept for you."


async def test_resume_of_an_unknown_or_foreign_request_id_is_not_found(
    hub: RunningHub, make_client: MakeClient, model: str
) -> None:
    _, mine = make_client()
    _, other = make_client()
    async with wire(hub.ws_url, mine) as connection:
        await connection.call("chat", {"prompt": "secret", "model": model}, "mine")
    for token, request_id in ((mine, "unknown"), (other, "mine")):
        async with wire(hub.ws_url, token) as connection:
            await connection.send({"op": "resume", "request_id": request_id, "after": -1})
            error = await connection.receive()
            assert (error["op"], error["error"]["code"], error["request_id"]) == ("error", "NOT_FOUND", request_id)


async def test_a_repeat_of_a_finished_call_gets_the_stored_result_on_any_process(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    arguments = {"prompt": "Hi", "model": model}
    async with wire(hub.ws_url, token) as connection:
        first = (await connection.call("chat", arguments, "same"))[-1]
    for url in (hub.ws_url, other_hub.ws_url):
        async with wire(url) as connection:
            await connection.hello(token, "another-session")
            assert (await connection.call("chat", {"model": model, "prompt": "Hi"}, "same"))[-1] == first
    assert len(upstream.requests(model)) == 1


async def test_a_repeat_of_a_running_call_is_attached_to_it(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3, text="One answer.", chunks=4, chunk_delay_s=0.05)
    arguments = {"prompt": "Hi", "model": model, "stream": True}
    async with wire(hub.ws_url, token) as first, wire(other_hub.ws_url, token) as second:
        await first.start("chat", arguments, "same")
        await first.until("progress", "same")
        repeated, original = await asyncio.gather(
            second.call("chat", arguments, "same"), first.until("call_tool_res", "same")
        )
    assert [frame["op"] for frame in repeated].count("call_tool_ack") == 1
    assert repeated[0]["op"] == "call_tool_ack"
    assert _chunks(repeated) == _chunks(original)
    assert repeated[-1] == original[-1]
    assert len(upstream.requests(model)) == 1


async def test_a_repeat_on_the_connection_that_has_the_call_already_changes_nothing(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3)
    arguments = {"prompt": "Hi", "model": model}
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", arguments, "same")
        await connection.start("chat", arguments, "same")
        frames = await connection.until("call_tool_res", "same")
        await connection.send({"op": "ping"})
        assert (await connection.receive())["op"] == "pong"
    assert [frame["op"] for frame in frames].count("call_tool_ack") == 1
    assert len(upstream.requests(model)) == 1


async def test_the_same_question_under_a_new_id_after_a_lost_connection_is_answered_by_the_first_call(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5, text="Once.")
    arguments = {"prompt": "Hi", "model": model}
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", arguments, "first")
        await connection.until("progress", "first")
        await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    await until_all_are_gone()
    async with wire(other_hub.ws_url, token) as connection:
        frames = await connection.call("chat", arguments, "second")
    assert {frame["request_id"] for frame in frames} == {"second"}
    assert envelope(frames[-1])["content"] == "Once."
    assert len(upstream.requests(model)) == 1


async def test_the_same_question_twice_on_a_live_connection_is_asked_twice(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        for request_id in ("a", "b"):
            assert (await connection.call("chat", {"prompt": "Hi", "model": model}, request_id))[-1]["ok"]
    assert len(upstream.requests(model)) == 2


async def test_a_delivered_answer_is_not_given_again_to_the_same_question_under_a_new_id(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.call("chat", {"prompt": "Hi", "model": model}, "a")
        await connection.send({"op": "ping"})  # tells that the result has arrived
        await connection.receive()
    async with wire(hub.ws_url, token) as connection:
        await connection.call("chat", {"prompt": "Hi", "model": model}, "b")
    assert len(upstream.requests(model)) == 2


async def test_two_clients_that_count_alike_never_get_each_others_answers(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    tokens = [make_client()[1] for _ in range(2)]
    for token in tokens:
        async with wire(hub.ws_url, token) as connection:
            await connection.call("chat", {"prompt": "Hi", "model": model}, 1)
    assert len(upstream.requests(model)) == 2


@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (401, 1)])
async def test_a_final_error_is_repeated_without_asking_again(
    hub: RunningHub, token: str, upstream: Upstream, model: str, status: int, attempts: int
) -> None:
    upstream.behave(model, status=status)
    async with wire(hub.ws_url, token) as connection:
        results = [(await connection.call("chat", {"prompt": "Hi", "model": model}, "same"))[-1] for _ in range(2)]
    assert results[0] == results[1]
    assert results[0]["error"]["code"] == "PROVIDER_ERROR"
    assert len(upstream.requests(model)) == attempts


async def test_a_cancelled_call_runs_anew_when_it_is_repeated(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model}, "same")
        await connection.until("progress", "same")
        await connection.send({"op": "cancel", "request_id": "same"})
        assert (await connection.until("call_tool_res", "same"))[-1]["error"]["code"] == "CANCELLED"
        upstream.behave(model)
        assert (await connection.call("chat", {"prompt": "Hi", "model": model}, "same"))[-1]["ok"]


async def test_cancel_from_a_connection_of_another_process_closes_the_upstream_and_frees_the_slot(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    upstream.behave(model, delay_s=30)
    async with wire(hub.ws_url, token) as first, wire(other_hub.ws_url, token) as second:
        await first.start("chat", {"prompt": "Hi", "model": model}, "far")
        (ack, *_) = await first.until("progress", "far")
        await asyncio.to_thread(upstream.wait_for_requests, model, 1)
        cancelled_at = time.time()
        await second.send({"op": "cancel", "request_id": "far"})
        assert await second.receive() == {"op": "cancelled", "request_id": "far", "found": True}
        ended = (await first.until("call_tool_res", "far"))[-1]
    assert ended["error"]["code"] == "CANCELLED"
    disconnected_at = await asyncio.to_thread(upstream.wait_for_disconnect, model)
    assert disconnected_at - cancelled_at < 1.0
    assert ack["call_id"]


async def test_a_cancel_that_nobody_heard_is_not_said_to_have_worked(
    hub: RunningHub, hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    with RunningHub(hub_environment) as doomed:
        async with wire(doomed.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "unheard")
            await connection.until("progress", "unheard")
            await asyncio.to_thread(doomed.kill)
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "cancel", "request_id": "unheard"})
        assert (await connection.receive())["found"] is False


async def test_a_foreign_client_cannot_cancel(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    _, mine = make_client()
    _, other = make_client()
    upstream.behave(model, delay_s=0.5)
    async with wire(hub.ws_url, mine) as owner, wire(hub.ws_url, other) as attacker:
        await owner.start("chat", {"prompt": "Hi", "model": model}, 1)
        await owner.until("progress", 1)
        await attacker.send({"op": "cancel", "request_id": 1})
        assert (await attacker.receive())["found"] is False
        assert (await owner.until("call_tool_res", 1))[-1]["ok"]


async def test_calls_of_a_killed_process_are_answered_recorded_and_run_anew(
    hub: RunningHub,
    hub_environment: dict[str, str],
    token: str,
    upstream: Upstream,
    model: str,
    database: psycopg.Connection,
) -> None:
    upstream.behave(model, chunks=50, chunk_delay_s=0.2)
    arguments = {"prompt": "Hi", "model": model, "stream": True}
    with RunningHub(hub_environment) as doomed:
        async with wire(doomed.ws_url, token) as connection:
            await connection.start("chat", arguments, "doomed")
            (ack, *_) = await connection.until("stream_chunk", "doomed")
            async with wire(hub.ws_url, token) as waiter:
                await waiter.send({"op": "resume", "request_id": "doomed", "after": -1})
                await waiter.until("stream_chunk", "doomed")
                await asyncio.to_thread(doomed.kill)
                lost = (await _until_result(waiter, "doomed", within_s=30))[-1]
    assert lost["error"]["code"] == "INTERNAL_ERROR"
    assert lost["error"]["details"]["retryable"]
    row = await _recorded(database, ack["call_id"])
    assert row == ("abandoned",)
    upstream.behave(model, text="Anew.")
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", arguments, "doomed"))[-1]
    assert envelope(result)["content"] == "Anew."


async def _until_result(connection: Wire, request_id: Any, *, within_s: float) -> list[Frame]:
    deadline = time.monotonic() + within_s
    frames: list[Frame] = []
    while time.monotonic() < deadline:
        frames.append(await connection.receive())
        if frames[-1]["op"] == "call_tool_res" and frames[-1]["request_id"] == request_id:
            return frames
    raise AssertionError("no result in time")


async def _recorded(database: psycopg.Connection, call_id: str) -> tuple[Any, ...]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if row := database.execute("SELECT status FROM tool_calls WHERE id = %s", (call_id,)).fetchone():
            return row
        await asyncio.sleep(0.02)
    raise AssertionError("never recorded")


async def test_an_answer_of_a_draining_process_is_found_by_resume_on_another(
    hub: RunningHub, hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5, text="Not lost.")
    with RunningHub(hub_environment) as ending:
        async with wire(ending.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "drained")
            await connection.until("progress", "drained")
            await asyncio.to_thread(upstream.wait_for_requests, model, 1)
        assert await asyncio.to_thread(ending.terminate) == 0
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "resume", "request_id": "drained", "after": -1})
        result = (await connection.until("call_tool_res", "drained"))[-1]
    assert envelope(result)["content"] == "Not lost."


async def test_every_request_about_one_call_is_answered_also_on_one_connection(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.6, text="Once.")
    arguments = {"prompt": "Hi", "model": model}
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", arguments, "first")
        await connection.until("progress", "first")
        await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "resume", "request_id": "first", "after": -1})
        await connection.start("chat", arguments, "second")
        answered: set[str] = set()
        while len(answered) < 2:
            frame = await connection.receive()
            if frame["op"] == "call_tool_res":
                assert envelope(frame)["content"] == "Once."
                answered.add(frame["request_id"])
    assert answered == {"first", "second"}
    assert len(upstream.requests(model)) == 1

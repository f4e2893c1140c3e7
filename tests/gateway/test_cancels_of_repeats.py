"""A cancel in one breath with a repeat means the call that answers the repeat, whose frames stay in order."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.gateway.wire import Frame, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_CALLS = 5
_WAITING_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(hub_environment) as other:
        yield other


async def _until_turns_wait(database: psycopg.Connection, count: int) -> None:
    """Waits until so many turns are about to be written: their calls can be cancelled no more."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    give_up_at = time.monotonic() + _WAITING_WITHIN_S
    while database.execute(waiting).fetchone() != (count,):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


async def test_it_comes_too_late_for_an_answer_that_is_being_kept(
    hub: RunningHub, token: str, upstream: Upstream, database: psycopg.Connection, model: str
) -> None:
    upstream.behave(model, text="One answer.", chunks=4)
    frames: list[Frame] = []
    async with wire(hub.ws_url, token) as connection:
        with database.transaction():
            database.execute("LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE")
            calls = {number: {"prompt": f"Hi {number}", "model": model, "stream": True} for number in range(_CALLS)}
            for number, arguments in calls.items():
                await connection.start("chat", arguments, number)
            await _until_turns_wait(database, _CALLS)
            for number, arguments in calls.items():
                await connection.start("chat", arguments, number)
                await connection.send({"op": "cancel", "request_id": number})
            while sum(frame["op"] == "cancelled" for frame in frames) < _CALLS:
                frames.append(await connection.receive())
        while sum(frame["op"] == "call_tool_res" for frame in frames) < _CALLS:
            frames.append(await connection.receive())
        await connection.send({"op": "ping"})
        frames += await connection.until("pong")
    for number in calls:
        own = [frame for frame in frames if frame.get("request_id") == number and frame["op"] != "progress"]
        assert [frame["found"] for frame in own if frame["op"] == "cancelled"] == [False]
        *chunks, complete, result = [frame for frame in own if frame["op"] not in ("call_tool_ack", "cancelled")]
        assert "".join(frame["chunk"] for frame in chunks) == "One answer." == envelope(result)["content"]
        assert complete["op"] == "stream_complete"


async def test_it_stops_the_call_that_runs_in_another_process(
    hub: RunningHub, other_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    async with wire(hub.ws_url, token) as first, wire(other_hub.ws_url, token) as second:
        for number in range(_CALLS):
            arguments = {"prompt": f"Hi {number}", "model": model}
            await first.start("chat", arguments, number)
            await first.until("progress", number)
            await second.start("chat", arguments, number)
            await second.send({"op": "cancel", "request_id": number})
            assert (await second.until("call_tool_res", number))[-1]["error"]["code"] == "CANCELLED"
            assert (await first.until("call_tool_res", number))[-1]["error"]["code"] == "CANCELLED"

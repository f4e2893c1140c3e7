"""Places for requests to a provider: bounded across processes, fair between sessions, no part of a call's time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest

from tests.gateway.wire import Frame, Wire, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_WAITING = "Waiting for capacity of bounded"


def _bounded(environment: dict[str, str], redis_url: str, **settings: str) -> dict[str, str]:
    """The upstream as a provider of one place."""
    endpoints = environment["EXAI_ENDPOINTS"].replace('"name": "upstream"', '"name": "bounded", "max_inflight": 1')
    return {**environment, "REDIS_URL": redis_url, "EXAI_ENDPOINTS": endpoints, **settings}


@pytest.fixture
def two_hubs(hub_environment: dict[str, str], redis_url: str) -> Iterator[list[RunningHub]]:
    with ExitStack() as running:
        yield [running.enter_context(RunningHub(_bounded(hub_environment, redis_url))) for _ in range(2)]


async def _end(connection: Wire, request_id: str) -> list[Frame]:
    return await connection.until("call_tool_res", request_id)


async def test_one_place_is_held_by_one_request_of_all_processes(
    two_hubs: list[RunningHub], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3)
    async with wire(two_hubs[0].ws_url, token) as one, wire(two_hubs[1].ws_url, token) as two:
        started = time.monotonic()
        await one.start("chat", {"prompt": "one", "model": model}, "one")
        await two.start("chat", {"prompt": "two", "model": model}, "two")
        ends = await asyncio.gather(_end(one, "one"), _end(two, "two"))
        # At once they would take half as long.
        assert time.monotonic() - started >= 0.6
    assert all(frames[-1]["ok"] for frames in ends)
    # A heartbeat repeats the stage.
    assert sum(_WAITING in {frame.get("message") for frame in frames} for frames in ends) == 1
    queued = max(frames[-1]["outputs"][0]["metadata"]["latency_metrics"]["queue_ms"] for frames in ends)
    assert queued >= 200


async def test_places_go_around_the_sessions(
    two_hubs: list[RunningHub], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.1)
    order: list[str] = []

    async def follow(connection: Wire, *request_ids: str) -> None:
        while not set(request_ids) <= set(order):
            frame = await connection.receive()
            if frame["op"] == "call_tool_res":
                order.append(frame["request_id"])

    async with AsyncExitStack() as stack:
        greedy = await stack.enter_async_context(wire(two_hubs[0].ws_url))
        modest = await stack.enter_async_context(wire(two_hubs[1].ws_url))
        await greedy.hello(token, "greedy")
        await modest.hello(token, "modest")
        many = [f"greedy-{number}" for number in range(6)]
        for request_id in many:
            await greedy.start("chat", {"prompt": request_id, "model": model}, request_id)
        waiting = 0
        while waiting < 5:
            waiting += (await greedy.receive()).get("message") == _WAITING
        await modest.start("chat", {"prompt": "modest", "model": model}, "modest")
        await asyncio.gather(follow(greedy, *many), follow(modest, "modest"))
    assert order.index("modest") <= 3


async def test_waiting_for_a_place_is_no_part_of_the_calls_time(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.7)
    environment = _bounded(hub_environment, redis_url, EXAI_TOOL_TIMEOUT_SECS="1")
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in ("1", "2", "3"):
                await connection.start("chat", {"prompt": number, "model": model}, number)
            results: dict[str, Frame] = {}
            while len(results) < 3:
                frame = await connection.receive()
                if frame["op"] == "call_tool_res":
                    results[frame["request_id"]] = frame
    assert all(result["ok"] for result in results.values()), results


async def test_a_request_that_waited_too_long_is_refused_with_a_retry_after(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=1.5)
    environment = _bounded(hub_environment, redis_url, EXAI_CAPACITY_WAIT_SECS="0.3")
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "1", "model": model}, "1")
            await asyncio.to_thread(upstream.wait_for_requests, model, 1)
            refused = (await connection.call("chat", {"prompt": "2", "model": model}, "2"))[-1]
            assert refused["error"]["code"] == "OVER_CAPACITY"
            assert refused["error"]["details"]["reason"] == "provider_bounded"
            assert refused["error"]["details"]["retry_after"] >= 1
            assert (await _end(connection, "1"))[-1]["ok"]
            # A refusal is no answer: a repeat runs anew.
            upstream.behave(model)
            assert (await connection.call("chat", {"prompt": "2", "model": model}, "2"))[-1]["ok"]


async def test_a_cancelled_request_leaves_the_queue(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    with RunningHub(_bounded(hub_environment, redis_url)) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in ("1", "2", "3"):
                await connection.start("chat", {"prompt": number, "model": model}, number)
            while (await connection.receive()).get("message") != _WAITING:
                pass
            await connection.send({"op": "cancel", "request_id": "2"})
            results: dict[str, Frame] = {}
            while len(results) < 3:
                frame = await connection.receive()
                if frame["op"] == "call_tool_res":
                    results[frame["request_id"]] = frame
    assert not results["2"]["ok"]
    assert results["1"]["ok"]
    assert results["3"]["ok"]
    assert len(upstream.requests(model)) == 2

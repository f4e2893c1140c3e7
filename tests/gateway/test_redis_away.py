"""Redis goes away under a running hub: calls go on, new ones come in under smaller limits, and all is well when it is
back."""

import asyncio
import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.calls.own_valkey import OwnValkey, own_valkey
from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


@pytest.fixture
def environment(hub_environment: dict[str, str], valkey: OwnValkey) -> dict[str, str]:
    return {
        **hub_environment,
        "REDIS_URL": valkey.url,
        "EXAI_WS_GLOBAL_MAX_INFLIGHT": "4",
        "EXAI_CAPACITY_WAIT_SECS": "5",
        "EXAI_SLOT_LEASE_SECS": "1",
    }


def _ready(hub: RunningHub) -> dict[str, Any]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(hub.http_url + "/health/ready") as answer:
        body: dict[str, Any] = json.load(answer)
    return body


async def _result(connection: Wire, request_id: str) -> Frame:
    return (await connection.until("call_tool_res", request_id))[-1]


async def test_running_calls_end_new_ones_come_in_and_all_returns_by_itself(
    environment: dict[str, str], valkey: OwnValkey, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "running", "model": model}, "running")
            await asyncio.to_thread(upstream.wait_for_requests, model, 1)
            await asyncio.to_thread(valkey.kill)
            assert (await _result(connection, "running"))["ok"]
            upstream.behave(model)
            begun = (await connection.call("chat", {"prompt": "new", "model": model}, "new"))[-1]
            assert begun["ok"]
            continuation_id = envelope(begun)["continuation_offer"]["continuation_id"]
            continued = await connection.call("chat", {"prompt": "on", "continuation_id": continuation_id}, "on")
            assert continued[-1]["ok"]
            assert (await asyncio.to_thread(_ready, hub))["status"] == "degraded"
            await connection.send({"op": "resume", "request_id": "new", "after": -1})
            refused = (await connection.until("error", "new"))[-1]
            assert refused["error"]["code"] == "SERVICE_UNAVAILABLE"

            await asyncio.to_thread(valkey.start_again)
            await _until_ready(hub)
            answers = [(await connection.call("chat", {"prompt": "x", "model": model}, "same"))[-1] for _ in range(2)]
            assert answers[0] == answers[1]
            await _until_nothing_is_held(valkey)


async def _until_ready(hub: RunningHub) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (await asyncio.to_thread(_ready, hub))["status"] == "ready":
            return
    raise AssertionError("the hub stayed degraded")


async def _until_nothing_is_held(valkey: OwnValkey) -> None:
    """No slot, no waiting and no running call is left, also of the call whose end Redis did not see."""
    deadline = time.monotonic() + 10
    held: list[str] = ["?"]
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        while time.monotonic() < deadline:
            held = [
                key
                for pattern in ("exai:slots:*", "exai:running:*")
                for key in client.scan_iter(pattern)
                if not key.endswith(":held_ms")
            ]
            if not held:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"still held: {held}")


async def test_half_of_the_limits_hold_while_it_is_away(
    environment: dict[str, str], valkey: OwnValkey, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.5)
    tokens = [make_client()[1] for _ in range(3)]
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, tokens[0]) as a, wire(hub.ws_url, tokens[1]) as b, wire(hub.ws_url, tokens[2]) as c:
            await asyncio.to_thread(valkey.kill)
            for connection in (a, b, c):
                await connection.start("chat", {"prompt": "Hi", "model": model}, "1")
            waiting = (await c.until("progress", "1"))[-1]
            assert waiting["message"] == "Waiting for capacity"
            for connection in (a, b, c):
                assert (await _result(connection, "1"))["ok"]
            await asyncio.to_thread(valkey.start_again)


async def test_a_redis_that_hangs_is_left_alone_after_its_patience(
    environment: dict[str, str], valkey: OwnValkey, token: str, model: str
) -> None:
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await asyncio.to_thread(valkey.freeze)
            try:
                assert (await connection.call("chat", {"prompt": "first", "model": model}, "first"))[-1]["ok"]
                started = time.monotonic()
                assert (await connection.call("chat", {"prompt": "second", "model": model}, "second"))[-1]["ok"]
                # The first call paid for finding out; a patience of one second a step would show here.
                assert time.monotonic() - started < 1.0
            finally:
                await asyncio.to_thread(valkey.thaw)


async def test_a_call_whose_admission_got_lost_is_not_taken_for_a_running_one(
    environment: dict[str, str], valkey: OwnValkey, token: str, upstream: Upstream, model: str
) -> None:
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await asyncio.to_thread(valkey.freeze)
            try:
                # Redis runs the script once it goes on; the hub has given up waiting for its reply by then.
                answer = (await connection.call("chat", {"prompt": "x", "model": model}, "same"))[-1]
                assert answer["ok"], answer
            finally:
                await asyncio.to_thread(valkey.thaw)
            await _until_ready(hub)
            await _until_nothing_is_held(valkey)
            assert (await connection.call("chat", {"prompt": "x", "model": model}, "same"))[-1]["ok"]


async def test_what_counts_as_running_and_is_not_is_ended_and_its_waiters_are_answered(
    environment: dict[str, str], valkey: OwnValkey, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    with RunningHub({**environment, "EXAI_SLOT_LEASE_SECS": "0.6"}) as hub, valkey.client() as client:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "real", "model": model}, "real")
            await asyncio.to_thread(upstream.wait_for_requests, model, 1)
            (running,) = client.scan_iter("exai:running:*")
            descriptions: Any = client.hgetall(running)
            ((call_id, description),) = descriptions.items()
            # As an outage leaves it behind that lasted longer than the call's end is tried for.
            stray = str(uuid.uuid4())
            process = running.decode().rpartition(":")[2]
            client.hset(running, stray, description)
            client.hset(f"exai:call:{stray}", mapping={"state": "running", "process": process})
            deadline = time.monotonic() + 10
            while client.hexists(running, stray):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            assert client.hget(f"exai:call:{stray}", "state") == b"ended"
            assert client.hexists(running, call_id)
            await connection.send({"op": "cancel", "request_id": "real"})
            assert (await _result(connection, "real"))["error"]["code"] == "CANCELLED"

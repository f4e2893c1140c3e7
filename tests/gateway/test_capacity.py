"""Limits on frames, calls and connections: held across processes, fair between sessions, free after a death."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiohttp
import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_WAITING = "Waiting for capacity"


@pytest.fixture
def small_hub(hub_environment: dict[str, str], redis_url: str) -> Iterator[RunningHub]:
    """A hub of four calls, two a session, that waits a second; with a Redis database of its own."""
    with RunningHub(_small(hub_environment, redis_url)) as hub:
        yield hub


def _small(environment: dict[str, str], redis_url: str) -> dict[str, str]:
    return {
        **environment,
        "REDIS_URL": redis_url,
        "EXAI_WS_GLOBAL_MAX_INFLIGHT": "4",
        "EXAI_WS_SESSION_MAX_INFLIGHT": "2",
        "EXAI_CAPACITY_WAIT_SECS": "1",
        "EXAI_SLOT_LEASE_SECS": "1",
    }


async def _results(connection: Wire, count: int) -> dict[str, Frame]:
    results: dict[str, Frame] = {}
    while len(results) < count:
        frame = await connection.receive()
        if frame["op"] == "call_tool_res":
            results[frame["request_id"]] = frame
    return results


async def test_a_call_waits_for_its_sessions_place_and_says_so(
    small_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.4)
    async with wire(small_hub.ws_url, token) as connection:
        for number in ("1", "2", "3"):
            await connection.start("chat", {"prompt": number, "model": model}, number)
        waiting = (await connection.until("progress", "3"))[-1]
        assert waiting["message"] == _WAITING
        frames = await connection.until("call_tool_res", "3")
    assert frames[-1]["ok"]
    assert frames[-1]["outputs"][0]["metadata"]["latency_metrics"]["queue_ms"] > 200
    assert [frame["op"] for frame in frames if frame.get("request_id") == "3"].count("call_tool_ack") == 0


async def test_a_call_that_waited_too_long_is_refused_and_may_be_repeated(
    small_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=2.0)
    async with wire(small_hub.ws_url, token) as connection:
        for number in ("1", "2", "3"):
            await connection.start("chat", {"prompt": number, "model": model}, number)
        refused = (await connection.until("call_tool_res", "3"))[-1]
        assert refused["error"]["code"] == "OVER_CAPACITY"
        assert refused["error"]["details"]["retry_after"] >= 1
        await _results(connection, 2)
        assert (await connection.call("chat", {"prompt": "3", "model": model}, "3"))[-1]["ok"]


async def test_the_limit_of_all_holds_across_processes_and_sessions(
    hub_environment: dict[str, str], redis_url: str, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.6)
    environment = _small(hub_environment, redis_url)
    with RunningHub(environment) as first, RunningHub(environment) as second:
        async with AsyncExitStack() as stack:
            connections = [
                await stack.enter_async_context(wire(hub.ws_url, make_client()[1]))
                for hub in (first, second)
                for _ in range(3)
            ]
            for connection in connections:
                await connection.start("chat", {"prompt": "Hi", "model": model})
            stages = [(await connection.until("progress"))[-1]["message"] for connection in connections]
            assert stages.count(_WAITING) == 2
            await asyncio.to_thread(upstream.wait_for_requests, model, 4)
            assert len(upstream.requests(model)) == 4
            for connection in connections:
                assert (await connection.until("call_tool_res"))[-1]["ok"]
    assert len(upstream.requests(model)) == 6


async def test_free_places_go_around_the_sessions(
    small_hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.25)
    greedy, modest = make_client()[1], make_client()[1]
    async with (
        wire(small_hub.ws_url, greedy) as many,
        wire(small_hub.ws_url, greedy) as more,
        wire(small_hub.ws_url, modest) as one,
    ):
        await more.socket.close()
        for number in range(6):
            await many.start("chat", {"prompt": f"greedy {number}", "model": model}, str(number))
        await many.until("progress", "5")
        await one.start("chat", {"prompt": "modest", "model": model}, "modest")
        assert (await one.until("call_tool_res", "modest"))[-1]["ok"]
        asked = [request.body["messages"][-1]["content"] for request in upstream.requests(model)]
        # Two places are the greedy session's; the modest one needs not wait behind its queue.
        assert asked.index("modest") <= 4
        results = await _results(many, 6)
    assert len(results) == 6


async def test_a_killed_processs_places_are_free_within_seconds(
    hub_environment: dict[str, str], redis_url: str, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=60)
    environment = {**_small(hub_environment, redis_url), "EXAI_CAPACITY_WAIT_SECS": "10"}
    with RunningHub(environment) as survivor:
        with RunningHub(environment) as doomed:
            async with AsyncExitStack() as stack:
                for _ in range(2):
                    connection = await stack.enter_async_context(wire(doomed.ws_url, make_client()[1]))
                    for number in range(2):
                        await connection.start("chat", {"prompt": "Hi", "model": model}, number)
                await asyncio.to_thread(upstream.wait_for_requests, model, 4)
                await asyncio.to_thread(doomed.kill)
        upstream.behave(model)
        async with wire(survivor.ws_url, make_client()[1]) as connection:
            result = (await connection.call("chat", {"prompt": "Hi", "model": model}))[-1]
    assert result["ok"]


async def test_a_long_call_keeps_its_place_far_beyond_its_lease(
    small_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=2.5)
    async with wire(small_hub.ws_url, token) as connection:
        for number in ("1", "2", "3"):
            await connection.start("chat", {"prompt": number, "model": model}, number)
        refused = (await connection.until("call_tool_res", "3"))[-1]
        assert refused["error"]["code"] == "OVER_CAPACITY"
        assert all(result["ok"] for result in (await _results(connection, 2)).values())


async def test_a_client_may_have_limits_of_its_own(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, upstream: Upstream, model: str
) -> None:
    name, token = make_client()
    database.execute("UPDATE clients SET max_inflight = 1 WHERE name = %s", (name,))
    upstream.behave(model, delay_s=0.3)
    async with wire(hub.ws_url, token) as connection:
        for number in ("1", "2"):
            await connection.start("chat", {"prompt": number, "model": model}, number)
        waiting = (await connection.until("progress", "2"))[-1]
        assert waiting["message"] == _WAITING
        assert len(await _results(connection, 2)) == 2


async def test_too_many_frames_are_refused_with_their_request_id_and_a_true_retry_after(
    hub_environment: dict[str, str], redis_url: str, token: str
) -> None:
    limits = {"RATE_LIMIT_USER_CAPACITY": "5", "RATE_LIMIT_USER_REFILL_RATE": "10"}
    with RunningHub({**hub_environment, **limits, "REDIS_URL": redis_url}) as hub:
        async with wire(hub.ws_url, token) as connection:
            refused = None
            for number in range(30):
                await connection.send({"op": "ping", "request_id": number})
                frame = await connection.receive()
                if frame["op"] == "error":
                    refused = frame
                    break
            assert refused is not None
            assert refused["request_id"] >= 5
            assert refused["error"]["code"] == "OVER_CAPACITY"
            wait_s = refused["error"]["details"]["retry_after"]
            assert 0 < wait_s <= 0.1
            call = (await connection.call("version", {}))[-1]
            assert call["ok"] or call["error"]["code"] == "OVER_CAPACITY"
            await asyncio.sleep(wait_s * 2)
            await connection.send({"op": "ping", "request_id": "later"})
            assert (await connection.receive())["op"] == "pong"


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "call_tool", "name": "chat", "arguments": {"prompt": "Hi", "model": "exai-echo"}},
        {"op": "call_tool", "name": "chat", "arguments": {"prompt": "Hi", "continuation_id": "none"}},
        {"op": "call_tool", "name": "chat", "arguments": {}},
        {"op": "tool_call"},
    ],
    ids=["a call", "an unknown conversation", "wrong arguments", "no tool"],
)
async def test_no_call_is_free_and_what_is_refused_by_rate_is_not_recorded(
    hub_environment: dict[str, str],
    redis_url: str,
    make_client: MakeClient,
    database: psycopg.Connection,
    request_: Frame,
) -> None:
    name, token = make_client()
    limits = {"RATE_LIMIT_USER_CAPACITY": "5", "RATE_LIMIT_USER_REFILL_RATE": "1"}
    codes: list[str] = []
    with RunningHub({**hub_environment, **limits, "REDIS_URL": redis_url}) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in range(20):
                await connection.send({**request_, "request_id": number})
            while len(codes) < 20:
                frame = await connection.receive()
                if frame["op"] in ("call_tool_res", "error"):
                    codes.append(frame["error"]["code"] if "error" in frame else "")
    assert 10 <= codes.count("OVER_CAPACITY") <= 15
    recorded = database.execute(
        "SELECT count(*) FROM tool_calls JOIN clients ON clients.id = client_id WHERE clients.name = %s", (name,)
    ).fetchone()
    assert recorded == (0 if request_["op"] == "tool_call" else 20 - codes.count("OVER_CAPACITY"),)


async def test_a_connection_cannot_heap_up_calls_that_wait_for_a_conversation(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    environment = {**_small(hub_environment, redis_url), "EXAI_MAX_WAITING": "4", "EXAI_CAPACITY_WAIT_SECS": "10"}
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = envelope((await connection.call("chat", {"prompt": "begin", "model": model}))[-1])
            arguments = {"prompt": "on", "continuation_id": begun["continuation_offer"]["continuation_id"]}
            upstream.behave(model, delay_s=0.3)
            for number in range(2 + 4 + 2):
                await connection.start("chat", arguments, str(number))
            results = await _results(connection, 8)
    refused = {name: result["error"]["details"] for name, result in results.items() if not result["ok"]}
    assert {name: details["reason"] for name, details in refused.items()} == dict.fromkeys("67", "calls_of_connection")
    assert all(details["retry_after"] > 0 for details in refused.values())


async def test_a_connection_cannot_heap_up_arguments(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3)
    with RunningHub({**_small(hub_environment, redis_url), "TOOL_CALL_MAX_SIZE": "2048"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in range(3):
                await connection.start("chat", {"prompt": f"{number}" * 1900, "model": model}, str(number))
            results = await _results(connection, 3)
            again = (await connection.call("chat", {"prompt": "2" * 1900, "model": model}, "2"))[-1]
    assert [results[name]["ok"] for name in "012"] == [True, True, False]
    assert results["2"]["error"]["details"]["reason"] == "calls_of_connection"
    assert again["ok"]


async def test_connections_beyond_the_limit_are_closed_with_1008_and_a_reason(
    hub_environment: dict[str, str], redis_url: str, token: str
) -> None:
    environment = {**hub_environment, "REDIS_URL": redis_url, "MAX_CONNECTIONS": "2"}
    with RunningHub(environment) as first, RunningHub(environment) as second:
        async with wire(first.ws_url, token), wire(second.ws_url, token), wire(second.ws_url) as third:
            code, reason = await third.closed()
            assert (code, reason) == (1008, "the hub has all its 2 connections")
        async with wire(first.ws_url, token):
            pass


@pytest.mark.parametrize(
    ("trusted", "refused"),
    [("127.0.0.1", True), ("", False)],
    ids=["a trusted proxy is believed", "anybody else is not"],
)
async def test_connections_of_one_address_behind_a_proxy_are_limited(
    hub_environment: dict[str, str], redis_url: str, token: str, trusted: str, refused: bool
) -> None:
    environment = {**hub_environment, "REDIS_URL": redis_url, "MAX_CONNECTIONS_PER_IP": "1"}
    headers = {"X-Forwarded-For": "203.0.113.9"}
    with RunningHub({**environment, "EXAI_TRUSTED_PROXIES": trusted}) as hub:
        async with wire(hub.ws_url, token, headers=headers), wire(hub.ws_url, headers=headers) as second:
            if refused:
                assert await second.closed() == (1008, "your address has all its 1 connections")
            else:
                assert (await second.hello(token))["ok"]


async def test_places_of_connections_are_free_after_they_left(
    hub_environment: dict[str, str], redis_url: str, token: str
) -> None:
    with RunningHub({**hub_environment, "REDIS_URL": redis_url, "MAX_CONNECTIONS": "1"}) as hub:
        for _ in range(5):
            deadline = time.monotonic() + 5
            while True:
                try:
                    async with wire(hub.ws_url, token):
                        break
                except (EOFError, AssertionError, aiohttp.ClientError):
                    assert time.monotonic() < deadline, "the place never came free"


def test_only_what_trusted_proxies_wrote_of_an_address_is_believed() -> None:
    from ipaddress import ip_network

    from exai.gateway.addresses import client_address

    trusted = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    for peer, forwarded, address in (
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "203.0.113.9:5678", "203.0.113.9"),
        ("::1", "[2001:db8::7]:5678", "2001:db8::7"),
    ):
        headers = [(b"X-Forwarded-For", forwarded.encode())] if forwarded else []
        assert client_address((peer, 1), headers, trusted) == address
    assert client_address(None, [], trusted) == ""


async def test_an_answer_still_names_its_conversation_after_waiting(
    small_hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.2)
    async with wire(small_hub.ws_url, token) as connection:
        for number in ("1", "2", "3"):
            await connection.start("chat", {"prompt": number, "model": model}, number)
        results = await _results(connection, 3)
    assert {envelope(result)["content"] for result in results.values()} == {"You said: 1", "You said: 2", "You said: 3"}

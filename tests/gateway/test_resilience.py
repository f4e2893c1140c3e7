"""Vendors that fail under running hubs: retried, left alone by all processes, and answered for by others."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from typing import Any

import pytest

from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_OPEN_S = 3.0
_numbers = count()


class Resetting:
    """A vendor's address where every connection is lost at once; counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


@pytest.fixture
def dead() -> Iterator[Resetting]:
    dead = Resetting()
    yield dead
    dead.close()


def _environment(hub_environment: dict[str, str], redis_url: str, *endpoints: dict[str, Any], **more: str) -> Any:
    return {
        **hub_environment,
        "REDIS_URL": redis_url,
        "EXAI_ENDPOINTS": json.dumps(endpoints),
        "EXAI_BREAKER_OPEN_SECS": str(_OPEN_S),
        "EXAI_PROVIDER_RETRIES": "0",
        **more,
    }


async def _chat(connection: Wire, request_id: str, **arguments: Any) -> Frame:
    return (await connection.call("chat", {"prompt": request_id, **arguments}, request_id))[-1]


async def _until(connection: Wire, provider: str, state: str, *, within_s: float) -> None:
    """The process behind the connection says so. Each question under an id of its own: repeats are answered alike."""
    give_up_at, now = time.monotonic() + within_s, ""
    while now != state:
        assert time.monotonic() < give_up_at, f"it is {now} after {within_s} s"
        result = (await connection.call("status", {"tail_lines": 0}, f"status-{next(_numbers)}"))[-1]
        now = json.loads(result["outputs"][0]["text"])["breakers"][provider]["state"]
        await asyncio.sleep(0.1)  # within the rate limit of a session


async def test_three_processes_leave_a_provider_alone_together_and_try_it_once(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, status=500)
    environment = _environment(hub_environment, redis_url, {"name": "flaky", "url": upstream.url, "models": [model]})
    with ExitStack() as running:
        hubs = [running.enter_context(RunningHub(environment)) for _ in range(3)]
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(wire(hub.ws_url, token)) for hub in hubs]
            for number in range(5):
                failed = await _chat(connections[0], f"opens-{number}", model=model)
                assert failed["error"]["code"] == "PROVIDER_ERROR"
            await asyncio.gather(*(_until(connection, "flaky", "open", within_s=1) for connection in connections))
            for number, connection in enumerate(connections):
                refused = (await _chat(connection, f"refused-{number}", model=model))["error"]
                assert refused["code"] == "SERVICE_UNAVAILABLE"
                assert (refused["details"]["provider"], refused["details"]["retryable"]) == ("flaky", True)
                assert refused["details"]["retry_after"] in (1, 2, 3)
            assert len(upstream.requests(model)) == 5

            await asyncio.gather(*(_until(connection, "flaky", "half-open", within_s=5) for connection in connections))
            upstream.behave(model, delay_s=1.5)
            tried = await asyncio.gather(
                *(_chat(connection, f"tries-{number}", model=model) for number, connection in enumerate(connections))
            )
            assert sorted(result["ok"] for result in tried) == [False, False, True]
            assert len(upstream.requests(model)) == 6
            await asyncio.gather(*(_until(connection, "flaky", "closed", within_s=1) for connection in connections))
            for number, connection in enumerate(connections):
                assert (await _chat(connection, f"well-{number}", model=model))["ok"]


@pytest.mark.parametrize("first", ["dead", "alive"])
async def test_auto_is_served_by_the_living_and_the_dead_is_not_even_asked_once_its_breaker_is_open(
    hub_environment: dict[str, str],
    redis_url: str,
    token: str,
    upstream: Upstream,
    model: str,
    dead: Resetting,
    first: str,
) -> None:
    alive_endpoint = {"name": "alive", "url": upstream.url, "models": [model]}
    dead_endpoint = {"name": "dead", "url": dead.url, "models": ["never-there"]}
    endpoints = [dead_endpoint, alive_endpoint] if first == "dead" else [alive_endpoint, dead_endpoint]
    environment = _environment(hub_environment, redis_url, *endpoints, EXAI_BREAKER_OPEN_SECS="600")
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in range(5):
                if first == "dead":
                    answered = envelope(await _chat(connection, f"opens-{number}"))
                    assert answered["metadata"]["fallback_from"] == "dead/never-there"
                    assert "dead" in answered["metadata"]["fallback_reason"]
                else:
                    assert not (await _chat(connection, f"opens-{number}", model="never-there"))["ok"]
            await _until(connection, "dead", "open", within_s=1)
            asked = dead.connections
            assert asked >= 5
            for number in range(10):
                answered = envelope(await _chat(connection, f"auto-{number}"))
                assert answered["metadata"]["provider_used"] == "alive"
                assert "fallback_from" not in answered["metadata"]
            assert dead.connections == asked


async def test_a_vendor_that_fails_for_a_moment_costs_no_call(
    hub_environment: dict[str, str], redis_url: str, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, status=503, retry_after=0, first_failures=1)
    endpoint = {"name": "hiccup", "url": upstream.url, "models": [model]}
    environment = _environment(hub_environment, redis_url, endpoint, EXAI_PROVIDER_RETRIES="2")
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            answered = await _chat(connection, "1", model=model)
    assert answered["ok"]
    assert len(upstream.requests(model)) == 2

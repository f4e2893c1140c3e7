"""Clients that do not read, frames that come together, a database that hangs: nobody else pays for it."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
import redis

from tests.conftest import MakeClient
from tests.gateway.wire import wire
from tests.hub import RunningHub
from tests.upstream import Upstream


@contextmanager
def _client_that_does_not_read(hub: RunningHub, token: str, model: str) -> Iterator[socket.socket]:
    """A connection whose answers pile up: it asks for a long answer and never takes it."""
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        connection.sendall(
            b"GET /ws/tools/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        connection.recv(4096)
        connection.sendall(_frame({"op": "hello", "session_id": "deaf", "token": token}))
        connection.recv(4096)
        for number in range(3):
            arguments = {"prompt": "Hi", "model": model, "stream": True}
            connection.sendall(
                _frame({"op": "call_tool", "request_id": number, "name": "chat", "arguments": arguments})
            )
        yield connection


def _frame(content: object) -> bytes:
    """A masked text frame of RFC 6455, section 5.2; a mask of zeros changes nothing."""
    payload = json.dumps(content).encode()
    assert len(payload) < 65_536
    return b"\x81" + bytes([0x80 | 126]) + len(payload).to_bytes(2) + bytes(4) + payload


async def test_a_client_that_does_not_read_delays_neither_revocation_nor_the_end(
    hub_environment: dict[str, str],
    make_client: MakeClient,
    database: psycopg.Connection,
    upstream: Upstream,
    model: str,
) -> None:
    upstream.behave(model, text="x" * 8_000_000, chunks=20)
    deaf, deaf_token = make_client()
    name, token = make_client()
    environment = {**hub_environment, "EXAI_DRAIN_SECS": "1"}
    with RunningHub(environment) as hub, _client_that_does_not_read(hub, deaf_token, model):
        await asyncio.to_thread(upstream.wait_for_requests, model, 3)
        async with wire(hub.ws_url, token) as connection:
            database.execute("UPDATE clients SET enabled = false WHERE name = ANY(%s)", ([deaf, name],))
            started = time.monotonic()
            assert (await connection.closed())[0] == 4003
            assert time.monotonic() - started < 1.5
    _, deaf_token = make_client()
    with RunningHub(environment) as hub, _client_that_does_not_read(hub, deaf_token, model):
        await asyncio.to_thread(upstream.wait_for_requests, model, 6)
        started = time.monotonic()
        assert await asyncio.to_thread(hub.terminate) == 0
        assert time.monotonic() - started < 10


async def test_a_client_that_does_not_read_holds_no_place_once_its_call_is_cancelled(
    hub_environment: dict[str, str],
    redis_url: str,
    make_client: MakeClient,
    upstream: Upstream,
    model: str,
) -> None:
    upstream.behave(model, text="x" * 8_000_000, chunks=20)
    _, token = make_client()
    with RunningHub({**hub_environment, "REDIS_URL": redis_url}) as hub, _client_that_does_not_read(hub, token, model):
        await asyncio.to_thread(upstream.wait_for_requests, model, 3)
        async with wire(hub.ws_url) as other:
            await other.hello(token, "deaf")
            for number in range(3):
                await other.send({"op": "cancel", "request_id": number})
                assert (await other.until("cancelled", number))[-1]["request_id"] == number
        with redis.Redis.from_url(redis_url) as client:
            deadline = time.monotonic() + 5
            while client.zcard("exai:slots:global"):
                assert time.monotonic() < deadline, "a place is still held"


async def test_a_call_and_its_cancel_in_one_packet_end_the_call(hub: RunningHub, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    call = {"op": "call_tool", "request_id": "r", "name": "chat", "arguments": {"prompt": "Hi", "model": "exai-echo"}}
    writer.write(
        _frame({"op": "hello", "session_id": "packet", "token": token})
        + _frame(call)
        + _frame({"op": "cancel", "request_id": "r"})
    )
    shown = b""
    async with asyncio.timeout(5):
        while b"call_tool_res" not in shown:
            shown += await reader.read(65_536)
    writer.close()
    assert b'"cancelled"' in shown or b'"found":false' in shown


@pytest.fixture
def frozen_backends(database: psycopg.Connection) -> Iterator[list[int]]:
    """The hub's database processes, to be stopped by a test; they go on afterwards."""
    stopped: list[int] = []
    yield stopped
    _go_on(stopped)


def _go_on(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may stop the database's processes of another user")
async def test_a_database_that_hangs_costs_the_storing_but_not_the_answer(
    hub_environment: dict[str, str],
    token: str,
    upstream: Upstream,
    model: str,
    database: psycopg.Connection,
    frozen_backends: list[int],
) -> None:
    upstream.behave(model, delay_s=0.3, text="Paid for.")
    with RunningHub({**hub_environment, "EXAI_TOOL_TIMEOUT_SECS": "1.5", "EXAI_DATABASE_POOL_SIZE": "1"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "running")
            await connection.until("progress", "running")
            rows = database.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'exai' AND datname = current_database()"
            ).fetchall()
            for (pid,) in rows:
                os.kill(pid, signal.SIGSTOP)
                frozen_backends.append(pid)
            result = (await connection.until("call_tool_res", "running"))[-1]
        assert result["ok"]
        assert result["outputs"][0]["metadata"].get("stored") is False
        _go_on(frozen_backends)


async def test_hostile_frames_leave_nothing_in_the_log(hub_environment: dict[str, str], token: str) -> None:
    values: tuple[object, ...] = (None, 1, -1, 1.5, "x", "\0", "\ud800", [], {}, True, 10**30)
    frames = ["", "{", "[]", "null", '"x"', "{}", '{"op":null}', '{"op":"call_tool"}', "\\" * 1000, "[" * 5000]
    frames += [
        json.dumps({"op": op, "request_id": value, "name": value, "arguments": value, "after": value})
        for op in ("call_tool", "tool_call", "cancel", "resume", "ping", "rotate_token", "health", "list_tools")
        for value in values
    ]
    with RunningHub({**hub_environment, "RATE_LIMIT_USER_CAPACITY": "1000"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            for frame in frames:
                await connection.send(frame)
            await connection.send({"op": "ping", "request_id": "last"})
            async with asyncio.timeout(10):
                await connection.until("pong", "last")
        assert hub.log_text() == ""

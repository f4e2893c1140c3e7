"""What a fault leaves behind: a killed process, a database or Redis that goes away, an end that drains."""

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from exai.access import token_hash
from tests.gateway.wire import envelope, wire
from tests.hub import RunningHub, manage
from tests.upstream import Upstream


async def test_a_process_killed_in_mid_call_leaves_no_half_turn(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    with RunningHub(hub_environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = envelope((await connection.call("chat", {"prompt": "kept", "model": model}))[-1])
            continuation_id = begun["continuation_offer"]["continuation_id"]
            upstream.behave(model, chunks=50, chunk_delay_s=0.1)
            arguments = {"prompt": "lost", "continuation_id": continuation_id, "stream": True}
            await connection.start("chat", arguments, "lost")
            await connection.until("stream_chunk", "lost")
            await asyncio.to_thread(hub.kill)
    rows = database.execute(
        "SELECT content FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE continuation_id = %s ORDER BY position",
        (continuation_id,),
    ).fetchall()
    assert rows == [("kept",), ("You said: kept",)]
    assert database.execute("SELECT count(*) FROM messages WHERE content = 'lost'").fetchone() == (0,)
    upstream.behave(model)
    with RunningHub(hub_environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            # The dead process's turn at the conversation is free again within ten seconds.
            frames = await connection.call("chat", {"prompt": "again", "continuation_id": continuation_id})
    assert frames[-1]["ok"]
    assert envelope(frames[-1])["continuation_offer"]["remaining_turns"] == 18


async def test_sigterm_lets_running_calls_finish_and_refuses_new_ones(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=1.0, text="Delivered.")
    with RunningHub(hub_environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "running")
            await connection.until("progress", "running")
            await asyncio.to_thread(upstream.wait_for_requests, model, 1)
            hub.begin_terminate()
            await _until_draining(connection)
            (refused,) = await connection.call("version", {}, "late")
            assert refused["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert refused["error"]["details"]["retryable"]
            result = (await connection.until("call_tool_res", "running"))[-1]
            assert envelope(result)["content"] == "Delivered."
            assert (await connection.closed())[0] == 1012
        assert await asyncio.to_thread(hub.terminate) == 0


async def test_calls_that_outlast_the_drain_are_ended_with_an_answer(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    with RunningHub({**hub_environment, "EXAI_DRAIN_SECS": "0.3"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "long")
            await connection.until("progress", "long")
            hub.begin_terminate()
            result = (await connection.until("call_tool_res", "long"))[-1]
            assert result["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert (await connection.closed())[0] == 1012


async def _until_draining(connection: Any) -> None:
    for _ in range(200):
        await connection.send({"op": "health"})
        if not (await connection.until("health_res"))[-1]["ok"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the hub never began to drain")


async def test_without_redis_calls_go_on_and_the_hub_is_degraded_not_unready(
    hub_environment: dict[str, str], token: str, model: str
) -> None:
    with RunningHub({**hub_environment, "REDIS_URL": "unix:///nonexistent/valkey.sock"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = envelope((await connection.call("chat", {"prompt": "one", "model": model}))[-1])
            continuation_id = begun["continuation_offer"]["continuation_id"]
            again = (await connection.call("chat", {"prompt": "two", "continuation_id": continuation_id}))[-1]
            components = (await connection.call("health", {}))[-1]
    assert again["ok"]
    assert json.loads(components["outputs"][0]["text"])["components"]["redis"]["status"] == "down"


@contextmanager
def _frozen_database(database: psycopg.Connection, database_url: str) -> Iterator[None]:
    """A database that lets nobody in: connections are refused and the hub's own are cut."""
    parts = conninfo_to_dict(database_url)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        name = str(parts["dbname"])
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'exai'",
            (name,),
        )
        try:
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


@pytest.fixture
def own_database(hub_environment: dict[str, str]) -> Iterator[tuple[dict[str, str], str, psycopg.Connection]]:
    """A hub's database that a test may break: its environment, its URL, and a connection that stays."""
    server = os.environ["DATABASE_URL"]
    name = f"broken_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    parts = conninfo_to_dict(server)
    url = f"postgresql://{parts['user']}:{parts['password']}@/{name}?host={parts['host']}"
    environment = {**hub_environment, "DATABASE_URL": url}
    manage(environment, "migrate", "--verbosity", "0")
    with psycopg.connect(url, autocommit=True) as connection:
        yield environment, url, connection


def _client_in(database: psycopg.Connection) -> str:
    token = "token-of-a-client-in-a-database-that-breaks"
    database.execute(
        "INSERT INTO clients (name, workspace, token_hash, token_start, scopes, enabled, created_at)"
        " VALUES ('agent', 'agent', %s, 'token', '{tools}', true, now())",
        (token_hash(token),),
    )
    return token


async def test_a_database_that_comes_back_in_time_costs_only_time(
    own_database: tuple[dict[str, str], str, psycopg.Connection], upstream: Upstream, model: str
) -> None:
    environment, url, database = own_database
    token = _client_in(database)
    upstream.behave(model, delay_s=0.3)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            with _frozen_database(database, url):
                await connection.start("chat", {"prompt": "Hi", "model": model})
                await connection.until("progress")
                await asyncio.to_thread(upstream.wait_for_requests, model, 1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await connection.until("call_tool_res")
            result = (await connection.until("call_tool_res"))[-1]
    assert envelope(result)["metadata"]["conversation_ready"]
    assert database.execute("SELECT count(*) FROM messages").fetchone() == (2,)


async def test_with_the_database_away_past_the_timeout_the_answer_goes_out_unstored(
    own_database: tuple[dict[str, str], str, psycopg.Connection], upstream: Upstream, model: str
) -> None:
    environment, url, database = own_database
    token = _client_in(database)
    with RunningHub({**environment, "EXAI_TOOL_TIMEOUT_SECS": "1.5"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            upstream.behave(model, text="Paid for.", delay_s=0.3)
            await connection.start("chat", {"prompt": "Hi", "model": model}, "running")
            await connection.until("progress", "running")
            with _frozen_database(database, url):
                result = (await connection.until("call_tool_res", "running"))[-1]
                version = (await connection.call("version", {}))[-1]
    assert result["ok"]
    answer = envelope(result)
    assert answer["content"] == "Paid for."
    assert answer["continuation_offer"] is None
    assert answer["metadata"]["stored"] is False
    assert result["outputs"][0]["metadata"]["stored"] is False
    assert version["ok"]


async def test_continuing_with_the_database_away_is_a_retryable_error(
    own_database: tuple[dict[str, str], str, psycopg.Connection], model: str
) -> None:
    environment, url, database = own_database
    token = _client_in(database)
    with RunningHub({**environment, "EXAI_TOOL_TIMEOUT_SECS": "0.5"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = envelope((await connection.call("chat", {"prompt": "one", "model": model}))[-1])
            continuation_id = begun["continuation_offer"]["continuation_id"]
            with _frozen_database(database, url):
                result = (await connection.call("chat", {"prompt": "two", "continuation_id": continuation_id}))[-1]
    assert result["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert result["error"]["details"]["retryable"]


async def test_a_fault_of_the_hub_is_answered_with_a_reference_and_no_traceback(
    own_database: tuple[dict[str, str], str, psycopg.Connection], model: str
) -> None:
    environment, _, database = own_database
    token = _client_in(database)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = envelope((await connection.call("chat", {"prompt": "one", "model": model}))[-1])
            arguments = {"prompt": "two", "continuation_id": begun["continuation_offer"]["continuation_id"]}
            database.execute("ALTER TABLE conversations RENAME COLUMN updated_at TO mislaid")
            result = (await connection.call("chat", arguments, "faulty"))[-1]
            database.execute("ALTER TABLE conversations RENAME COLUMN mislaid TO updated_at")
            assert (await connection.call("chat", arguments, "mended"))[-1]["ok"]
        reference = result["error"]["details"]["reference"]
        log = hub.log_text()
    assert result["error"]["code"] == "INTERNAL_ERROR"
    assert "UndefinedColumn" not in json.dumps(result)
    assert reference in log
    assert "UndefinedColumn" in log
    assert token not in log


async def test_a_turn_that_the_database_refuses_costs_the_storing_but_not_the_answer(
    own_database: tuple[dict[str, str], str, psycopg.Connection], model: str
) -> None:
    environment, _, database = own_database
    token = _client_in(database)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            database.execute("ALTER TABLE messages ADD CONSTRAINT refuses CHECK (content <> 'poison')")
            result = (await connection.call("chat", {"prompt": "poison", "model": model}))[-1]
        log = hub.log_text()
    assert result["ok"]
    assert envelope(result)["metadata"]["stored"] is False
    assert "poison" not in log
    assert database.execute("SELECT status, model FROM tool_calls").fetchall() == [("succeeded", model)]


async def test_an_expert_s_answer_that_is_not_stored_tells_nobody_to_go_on_from_there(
    own_database: tuple[dict[str, str], str, psycopg.Connection], upstream: Upstream, model: str
) -> None:
    environment, _, database = own_database
    upstream.behave(model, text='{"status": "files_required_to_continue", "files_needed": ["lock.py"]}')
    step = {"step": "poison", "step_number": 1, "findings": "It hangs.", "model": model}
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, _client_in(database)) as connection:
            database.execute("ALTER TABLE workflow_steps ADD CONSTRAINT refuses CHECK (content ->> 'text' <> 'poison')")
            paid = {**step, "total_steps": 1, "next_step_required": False}
            result = (await connection.call("debug", paid, "paid"))[-1]
            unpaid = {**step, "total_steps": 2, "next_step_required": True}
            refused = (await connection.call("debug", unpaid, "unpaid"))[-1]
    answer = envelope(result)
    assert (answer["status"], answer["metadata"]["stored"]) == ("files_required_to_continue", False)
    assert answer["continuation_id"] is None
    assert "next_call" not in answer
    assert refused["error"]["code"] == "SERVICE_UNAVAILABLE"


async def test_rotate_token_with_the_database_away_is_answered(
    own_database: tuple[dict[str, str], str, psycopg.Connection],
) -> None:
    environment, url, database = own_database
    token = _client_in(database)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            with _frozen_database(database, url):
                await connection.send({"op": "rotate_token", "request_id": 1, "old": token, "new": "n" * 40})
                error = (await connection.until("error", 1))[-1]
    assert error["error"]["code"] == "SERVICE_UNAVAILABLE"


async def test_a_second_sigterm_changes_nothing_but_a_sigint_ends_at_once(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=30)
    with RunningHub(hub_environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.start("chat", {"prompt": "Hi", "model": model}, "long")
            await connection.until("progress", "long")
            hub.begin_terminate()
            await _until_draining(connection)
            os.kill(hub.pid, signal.SIGTERM)
            await _until_draining(connection)
            started = time.monotonic()
            os.kill(hub.pid, signal.SIGINT)
            await asyncio.to_thread(hub.wait)
            assert time.monotonic() - started < 10

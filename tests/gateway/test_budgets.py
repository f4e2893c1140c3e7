"""Budgets end to end: three processes, one Redis, one PostgreSQL, and a vendor that counts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tests.calls.own_valkey import own_valkey
from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_SESSIONS = 10  # of one client, in each process
_LIMITS = {
    "EXAI_WS_SESSION_MAX_INFLIGHT": "100",
    "EXAI_SLOT_LEASE_SECS": "1",
    "RATE_LIMIT_USER_CAPACITY": "1000",
}
SetBudget = Callable[..., None]


@pytest.fixture
def environment(hub_environment: dict[str, str], redis_url: str, upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    """A hub with a Redis database of its own, and with a vendor whose prices are known beside one without any."""
    catalogue = tmp_path / "catalogue.json"
    price = {"input": 1000, "output": 1000}  # a tenth of a cent a token
    priced = {"id": "priced", "context": 100_000, "output": 100, "price": price}
    free = {"id": "free", "context": 100_000, "output": 100, "price": {"input": 0, "output": 0}}
    searching = {"id": "searching", "context": 100_000, "output": 100, "tools": True, "web_search": True}
    catalogue.write_text(json.dumps({"kimi": [priced, free, searching]}))
    vendor = {"MOONSHOT_API_KEY": "sk-priced-secret", "KIMI_API_URL": upstream.url}
    return {
        **hub_environment,
        **_LIMITS,
        **vendor,
        "REDIS_URL": redis_url,
        "EXAI_CATALOGUE_FILE": str(catalogue),
        "KIMI_MAX_INFLIGHT": "300",
    }


@pytest.fixture
def set_budget(database: psycopg.Connection) -> SetBudget:
    def set_(name: str, amount: float, *, unit: str = "tokens", period: str = "day", workspace: bool = False) -> None:
        database.execute(
            "INSERT INTO budgets (client_id, workspace, period, unit, amount)"
            " SELECT CASE WHEN %(whole)s THEN NULL ELSE id END, CASE WHEN %(whole)s THEN workspace ELSE '' END,"
            " %(period)s, %(unit)s, %(amount)s FROM clients WHERE name = %(name)s",
            {"whole": workspace, "period": period, "unit": unit, "amount": amount, "name": name},
        )

    return set_


@pytest.fixture
def vendor(upstream: Upstream) -> Iterator[Upstream]:
    """The upstream, with what it does for the models of fixed names taken back in the end."""
    yield upstream
    for model in ("priced", "free", "searching"):
        upstream.behave(model)


async def _ask(connection: Wire, model: str, prompt: str, request_id: Any = "1") -> Frame:
    return (await connection.call("chat", {"prompt": prompt, "model": model}, request_id))[-1]


async def _recorded(database: psycopg.Connection, name: str, count: int) -> list[tuple[Any, ...]]:
    """The rows of a client's calls, as soon as there are so many; oldest first."""
    rows: list[tuple[Any, ...]] = []
    give_up_at = time.monotonic() + 8
    while time.monotonic() < give_up_at:
        rows = database.execute(
            "SELECT status, input_tokens, output_tokens, estimated_tokens, excess_tokens FROM tool_calls"
            " WHERE client_id = (SELECT id FROM clients WHERE name = %s) ORDER BY started_at",
            (name,),
        ).fetchall()
        if len(rows) >= count:
            return rows
        await asyncio.sleep(0.02)
    raise AssertionError(f"only {rows}")


@asynccontextmanager
async def _connections(hubs: list[RunningHub], token: str) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        connected = []
        for hub in hubs:
            for number in range(_SESSIONS):
                connection = await stack.enter_async_context(wire(hub.ws_url))
                await connection.hello(token, f"{hub.port}-{number}")
                connected.append(connection)
        yield connected


async def test_two_hundred_calls_at_once_in_three_processes_never_overshoot(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, database: psycopg.Connection
) -> None:
    name, token = make_client()
    # Some prompt, and up to 100 tokens of an answer that has far fewer: so calls are refused while others run, and
    # what those did not need is given to later ones.
    set_budget(name, 12_000)
    set_budget(name, 10, unit="usd", workspace=True, period="month")
    with RunningHub(environment) as first, RunningHub(environment) as second, RunningHub(environment) as third:
        async with _connections([first, second, third], token) as connected:
            asking = []
            for number in range(200):
                connection = connected[number % len(connected)]
                asking.append((connection, number))
                await connection.start("chat", {"prompt": f"Question {number}", "model": "priced"}, number)
            results = [await _result(connection, number) for connection, number in asking]
    codes = [result["error"]["code"] if result.get("error") else "" for result in results]
    assert set(codes) == {"", "BUDGET_EXCEEDED"}
    rows = await _recorded(database, name, 200)
    used = [(sent or 0) + (answered or 0) for _, sent, answered, _, _ in rows]
    assert sum(used) * 0.001 <= 10
    assert len([tokens for tokens in used if tokens]) == codes.count("") >= 10


async def test_calls_that_search_the_web_never_overshoot_however_often_they_search(
    environment: dict[str, str],
    make_client: MakeClient,
    set_budget: SetBudget,
    database: psycopg.Connection,
    vendor: Upstream,
) -> None:
    name, token = make_client()
    set_budget(name, 3000)
    vendor.behave("searching", searches=9, usage={"prompt": 100, "completion": 50}, chunk_delay_s=0.05)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            for number in range(12):
                await connection.start("chat", {"prompt": f"Search {number}", "model": "searching"}, number)
            results = [await _result(connection, number) for number in range(12)]
    rows = await _recorded(database, name, 12)
    assert any(result.get("ok") for result in results)
    assert sum((sent or 0) + (answered or 0) for _, sent, answered, _, _ in rows) <= 3000
    assert not any(excess for *_, excess in rows)


async def _result(connection: Wire, request_id: int) -> Frame:
    """The result of one of the calls of a connection, whose frames come in any order."""
    kept: dict[int, Frame] = connection.__dict__.setdefault("results", {})
    while request_id not in kept:
        frame = await connection.receive()
        if frame["op"] == "call_tool_res":
            kept[frame["request_id"]] = frame
    return kept[request_id]


async def test_a_refusal_says_which_budget_how_much_of_how_much_and_when_it_resets(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, vendor: Upstream
) -> None:
    name, token = make_client()
    set_budget(name, 0.5, unit="usd", period="month")
    vendor.behave("priced", usage={"prompt": 300, "completion": 100})
    asked_before = len(vendor.requests("priced"))
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            assert (await _ask(connection, "priced", "one"))["ok"]
            refused = await _ask(connection, "priced", "two")
    error = refused["error"]
    assert error["code"] == "BUDGET_EXCEEDED"
    today = datetime.now(UTC)
    resets_at = (today.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=31)).replace(day=1)
    details = error["details"]
    assert (details["budget"], details["period"], details["unit"]) == (f"client {name}", "month", "usd")
    assert (details["limit"], details["used"], details["held"]) == (0.5, 0.4, 0.0)
    assert details["needed"] > 0.1
    assert details["resets_at"] == resets_at.isoformat()
    assert not details["retryable"]
    for words in (f"client {name}", "month", "$0.4000 of $0.5000", resets_at.isoformat()):
        assert words in error["message"]
    assert len(vendor.requests("priced")) == asked_before + 1


async def test_a_budget_set_raised_or_lifted_is_in_force_within_a_second(
    environment: dict[str, str],
    make_client: MakeClient,
    set_budget: SetBudget,
    database: psycopg.Connection,
    model: str,
) -> None:
    name, token = make_client()
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            assert (await _ask(connection, model, "before", "0"))["ok"]
            set_budget(name, 0)
            set_at = time.monotonic()
            refused: list[Frame] = []
            while not refused and time.monotonic() < set_at + 1.0:
                answer = await _ask(connection, model, "Hi", f"set {time.monotonic()}")
                refused += [] if answer["ok"] else [answer]
            assert refused[0]["error"]["code"] == "BUDGET_EXCEEDED"
            again = refused[0]["request_id"]
            database.execute("DELETE FROM budgets WHERE client_id = (SELECT id FROM clients WHERE name = %s)", (name,))
            lifted_at = time.monotonic()
            while time.monotonic() < lifted_at + 1.0:
                # The very same request: a refusal is no answer that is kept.
                answer = await _ask(connection, model, "Hi", again)
                if answer["ok"]:
                    break
            assert answer["ok"]


async def test_a_model_of_unknown_price_is_refused_where_money_is_limited_and_a_free_one_is_not(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, upstream: Upstream, model: str
) -> None:
    name, token = make_client()
    set_budget(name, 0, unit="usd")
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            refused = await _ask(connection, model, "unknown")
            assert (await _ask(connection, "free", "free"))["ok"]
    assert refused["error"]["code"] == "VALIDATION_ERROR"
    assert "price" in refused["error"]["message"]
    assert upstream.requests(model) == []


async def test_a_bound_on_the_answer_is_sent_only_where_a_budget_needs_it(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, upstream: Upstream, model: str
) -> None:
    name, token = make_client()
    set_budget(name, 1_000_000)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as bounded, wire(hub.ws_url, make_client()[1]) as free:
            for connection in (bounded, free):
                assert (await _ask(connection, model, "Hi"))["ok"]
    first, second = upstream.requests(model)
    assert first.body["max_tokens"] == 8192
    assert "max_tokens" not in second.body


async def test_failures_before_an_answer_cost_nothing_and_broken_answers_are_in_the_ledger(
    environment: dict[str, str],
    make_client: MakeClient,
    set_budget: SetBudget,
    database: psycopg.Connection,
    upstream: Upstream,
    model: str,
    redis_url: str,
) -> None:
    name, token = make_client()
    set_budget(name, 1_000_000)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            upstream.behave(model, status=400)
            assert not (await _ask(connection, model, "fails", "1"))["ok"]
            upstream.behave(model, text="x" * 400, chunks=4, break_after_chunks=2)
            assert not (await _ask(connection, model, "breaks", "2"))["ok"]
            upstream.behave(model, text="y" * 400, no_usage=True)
            assert (await _ask(connection, model, "uncounted", "3"))["ok"]
            upstream.behave(model, usage={"prompt": 20, "completion": 20_000})
            assert (await _ask(connection, model, "exceeds", "4"))["ok"]
            upstream.behave(model, text="", finish_reason="content_filter", usage={"prompt": 30, "completion": 7})
            assert not (await _ask(connection, model, "filtered", "5"))["ok"]
            rows = await _recorded(database, name, 5)
            failed, broken, uncounted, exceeding, filtered = rows
            await _settled(redis_url, name, database, sum(sum(row[1:4]) for row in _without_none(rows)))
    assert failed == ("failed", None, None, None, None)
    assert broken[:3] == ("failed", None, None)
    assert broken[3] > 50
    assert uncounted[:3] == ("succeeded", None, None)
    assert uncounted[3] - broken[3] == pytest.approx(50, abs=3)
    assert exceeding[:4] == ("succeeded", 20, 20_000, None)
    assert exceeding[4] > 20_000 - 8192 - 1000
    assert filtered == ("failed", 30, 7, None, None)


def _without_none(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(value or 0 for value in row) for row in rows]


async def _settled(redis_url: str, name: str, database: psycopg.Connection, tokens: int) -> None:
    """Once so many tokens are settled for the client, and nothing is held any more."""
    [client_id] = database.execute("SELECT id FROM clients WHERE name = %s", (name,)).fetchone() or (None,)
    key = f"exai:budget:client:{client_id}:day:{datetime.now(UTC):%Y-%m-%d}"
    seen: Any = None
    give_up_at = time.monotonic() + 5
    with redis.Redis.from_url(redis_url) as client:
        while time.monotonic() < give_up_at:
            seen = (int(client.hget(key, "tokens") or 0), client.zcard(f"{key}:held"))
            if seen == (tokens, 0):
                return
            await asyncio.sleep(0.02)
    raise AssertionError(f"{seen} instead of {tokens}")


async def test_a_budget_counts_what_was_spent_before_it_was_set_and_before_redis_was_emptied(
    environment: dict[str, str],
    make_client: MakeClient,
    set_budget: SetBudget,
    redis_url: str,
    vendor: Upstream,
) -> None:
    name, token = make_client()
    vendor.behave("priced", usage={"prompt": 40, "completion": 60})
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            assert (await _ask(connection, "priced", "before the budget", "1"))["ok"]
    set_budget(name, 1000)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            assert (await _ask(connection, "priced", "after it", "2"))["ok"]
            with redis.Redis.from_url(redis_url) as client:
                client.flushdb()
            refused = await _ask(connection, "priced", "x" * 2400, "3")
    assert refused["error"]["details"]["used"] == 200


async def test_the_ledger_counts_the_money_of_a_whole_workspace_since_the_period_began(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, database: psycopg.Connection
) -> None:
    first, token = make_client()
    second, _ = make_client(workspace=first)
    stranger, _ = make_client()
    now = datetime.now(UTC)
    last_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=1)
    for name, began, cost, estimated in (
        (first, now, "0.2", None),
        (second, now, None, "0.15"),
        (second, now, None, None),
        (first, last_month, "100", None),
        (stranger, now, "100", None),
    ):
        database.execute(
            "INSERT INTO tool_calls (id, client_id, workspace, request_id, tool, model, provider, status, error_code,"
            " error_message, cost, estimated_cost, queue_ms, provider_ms, total_ms, cached, correlation_id, started_at,"
            " ended_at) SELECT gen_random_uuid(), id, workspace, '', 'chat', 'm', 'p', 'succeeded', '', '', %s, %s,"
            " 0, 0, 0, '', '', %s, now() FROM clients WHERE name = %s",
            (cost, estimated, began, name),
        )
    set_budget(first, 0.4, unit="usd", period="month", workspace=True)
    with RunningHub(environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            refused = await _ask(connection, "priced", "Hi")
    assert refused["error"]["details"]["budget"] == f"workspace {first}"
    assert refused["error"]["details"]["used"] == 0.35


async def test_a_killed_processs_reservations_are_free_within_seconds(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, upstream: Upstream, model: str
) -> None:
    name, token = make_client()
    set_budget(name, 9000, workspace=True)
    upstream.behave(model, delay_s=60)
    with RunningHub(environment) as survivor:
        with RunningHub(environment) as doomed:
            async with wire(doomed.ws_url, token) as connection:
                await connection.start("chat", {"prompt": "Hi", "model": model})
                await asyncio.to_thread(upstream.wait_for_requests, model, 1)
                async with wire(survivor.ws_url, token) as other:
                    refused = await _ask(other, model, "now", "now")
                    assert refused["error"]["code"] == "BUDGET_EXCEEDED"
                    assert refused["error"]["details"]["held"] > 8192
                    assert refused["error"]["details"]["retryable"]
                await asyncio.to_thread(doomed.kill)
        upstream.behave(model)
        give_up_at = time.monotonic() + 8
        async with wire(survivor.ws_url, token) as connection:
            while not (result := await _ask(connection, model, "later", f"{time.monotonic()}"))["ok"]:
                assert time.monotonic() < give_up_at
                await asyncio.sleep(0.05)
    assert envelope(result)["content"] == "You said: later"


async def test_without_redis_only_calls_that_have_a_budget_are_refused(
    environment: dict[str, str], make_client: MakeClient, set_budget: SetBudget, model: str
) -> None:
    name, token = make_client()
    set_budget(name, 1_000_000)
    with own_valkey() as valkey, RunningHub({**environment, "REDIS_URL": valkey.url}) as hub:
        async with wire(hub.ws_url, token) as bounded, wire(hub.ws_url, make_client()[1]) as free:
            await asyncio.to_thread(valkey.kill)
            refused = await _ask(bounded, model, "Hi")
            assert (await _ask(free, model, "Hi"))["ok"]
            assert (await bounded.call("version", {}, "version"))[-1]["ok"]
            assert refused["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert refused["error"]["details"]["retry_after"] > 0
            await asyncio.to_thread(valkey.start_again)
            give_up_at = time.monotonic() + 8
            while not (await _ask(bounded, model, "Hi"))["ok"]:
                assert time.monotonic() < give_up_at
                await asyncio.sleep(0.05)

"""Changes of the provider tables, as agents meet them in every web process, whoever makes them and however."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import psycopg
import pytest

from exai.sealing import seal
from tests.conftest import MODELS
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_SECRET = "a key for the tests, of 32 characters and more"
_KEY, _NEW_KEY = "sk-of-the-row-0123456789", "sk-rotated-9876543210"
_IN_FORCE_WITHIN_S = 5.0  # a second, and more for a busy machine
_ASK_EVERY_S = 0.02  # not more often than a session may for long
_BUCKETS = ("GLOBAL_CAPACITY", "GLOBAL_REFILL_RATE", "USER_CAPACITY", "USER_REFILL_RATE")
_ids = count()
AddEndpoint = Callable[..., str]


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    """A second web process, which has no Redis, and lets one client ask as fast as it can."""
    raised = {f"RATE_LIMIT_{bucket}": "1000000" for bucket in _BUCKETS}
    with RunningHub({**hub_environment, "REDIS_URL": "unix:///nonexistent/valkey.sock", **raised}) as other:
        yield other


@pytest.fixture
def add_endpoint(database: psycopg.Connection, upstream: Upstream) -> Iterator[AddEndpoint]:
    """Adds an endpoint by SQL, the upstream by default; gives its name. It goes with the test."""
    added: list[str] = []

    def add(*models: str, key: str = "", secret: str = _SECRET, url: str | None = None) -> str:
        name = f"row-{next(_ids)}"
        added.append(name)
        sealed = seal(key, secret=secret, endpoint=name) if key else ""
        with database.transaction():
            database.execute(
                "INSERT INTO provider_endpoints (name, enabled, url, sealed_key, updated_at)"
                " VALUES (%s, true, %s, %s, now())",
                (name, upstream.url if url is None else url, sealed),
            )
            for model in models:
                database.execute(
                    "INSERT INTO provider_models (provider, model_id, enabled) VALUES (%s, %s, true)", (name, model)
                )
        return name

    yield add
    owners = {"provider_endpoints": "name", "provider_models": "provider", "model_prices": "provider"}
    for table, column in owners.items():
        database.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)".encode(), (added,))


async def listing(connection: Wire) -> Frame:
    """What listmodels says now."""
    frames = await connection.call("listmodels", {}, f"listing-{next(_ids)}")
    content: Frame = json.loads(frames[-1]["outputs"][0]["text"])
    return content


async def until(connection: Wire, holds: Callable[[Frame], bool]) -> Frame:
    give_up_at = time.monotonic() + _IN_FORCE_WITHIN_S
    while not holds(listed := await listing(connection)):
        assert time.monotonic() < give_up_at, "the change is not in force in time"
        await asyncio.sleep(_ASK_EVERY_S)
    return listed


def models_of(listed: Frame, endpoint: str) -> list[Any]:
    return [model for model in listed["models"] if model["provider"] == endpoint]


def has(endpoint: str) -> Callable[[Frame], bool]:
    return lambda listed: endpoint in listed["configured_providers"]


def lacks(endpoint: str) -> Callable[[Frame], bool]:
    return lambda listed: endpoint not in listed["configured_providers"]


async def chat(connection: Wire, model: str, prompt: str = "Hi") -> Frame:
    return (await connection.call("chat", {"prompt": prompt, "model": model}, f"chat-{next(_ids)}"))[-1]


async def test_an_endpoint_added_by_sql_answers_in_every_process_with_its_key(
    hub: RunningHub, other_hub: RunningHub, token: str, add_endpoint: AddEndpoint, upstream: Upstream
) -> None:
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(wire(each.ws_url, token)) for each in (hub, other_hub)]
        model = f"added-{next(_ids)}"
        name = add_endpoint(model, key=_KEY)
        for connection in connections:
            (listed,) = models_of(await until(connection, has(name)), name)[:1]
            assert (listed["id"], listed["context_tokens"], listed["price"]) == (model, 8192, "unknown")
            answer = envelope(await chat(connection, model))
            assert answer["metadata"]["provider_used"] == name
    sent = {request.headers["authorization"] for request in upstream.requests(model)}
    assert sent == {f"Bearer {_KEY}"}


async def test_disabling_leaves_running_calls_alone_and_refuses_new_ones(
    hub: RunningHub, token: str, add_endpoint: AddEndpoint, upstream: Upstream, database: psycopg.Connection
) -> None:
    model = f"slow-{next(_ids)}"
    upstream.behave(model, text="Late, but here.", chunks=8, chunk_delay_s=0.3)
    async with wire(hub.ws_url, token) as running, wire(hub.ws_url, token) as watching:
        name = add_endpoint(model)
        await until(watching, has(name))
        await running.start("chat", {"prompt": "Hi", "model": model}, "running")
        await asyncio.to_thread(upstream.wait_for_requests, model, 1)
        database.execute("UPDATE provider_endpoints SET enabled = false WHERE name = %s", (name,))
        listed = await until(watching, lacks(name))
        assert name in listed["disabled_providers"]
        refused = await chat(watching, model)
        assert refused["error"]["code"] == "VALIDATION_ERROR"
        answer = envelope((await running.until("call_tool_res", "running"))[-1])
    assert answer["content"] == "Late, but here."


async def test_a_rotated_key_is_used_from_then_on(
    hub: RunningHub, token: str, add_endpoint: AddEndpoint, upstream: Upstream, database: psycopg.Connection
) -> None:
    model = f"rotated-{next(_ids)}"
    async with wire(hub.ws_url, token) as connection:
        name = add_endpoint(model, key=_KEY)
        await until(connection, has(name))
        await chat(connection, model)
        database.execute(
            "UPDATE provider_endpoints SET sealed_key = %s WHERE name = %s",
            (seal(_NEW_KEY, secret=_SECRET, endpoint=name), name),
        )
        give_up_at = time.monotonic() + _IN_FORCE_WITHIN_S
        while upstream.requests(model)[-1].headers["authorization"] != f"Bearer {_NEW_KEY}":
            assert time.monotonic() < give_up_at
            answer = await chat(connection, model, f"again {next(_ids)}")
            assert answer["ok"], answer
            await asyncio.sleep(_ASK_EVERY_S)


async def test_a_call_is_charged_by_the_price_in_force_and_says_so(
    hub: RunningHub, token: str, add_endpoint: AddEndpoint, upstream: Upstream, database: psycopg.Connection
) -> None:
    model = f"priced-{next(_ids)}"
    usage = {"prompt": 1000, "completion": 100, "cached": 400, "reasoning": 50}
    upstream.behave(model, usage=usage)
    async with wire(hub.ws_url, token) as connection:
        name = add_endpoint(model)
        await until(connection, has(name))
        unpriced = envelope(await chat(connection, model))
        assert unpriced["metadata"]["usage"]["cost"] is None
        database.execute(
            "INSERT INTO model_prices (provider, model_id, version, effective_from, input, cached, output)"
            " VALUES (%s, %s, '2026-11', now(), 0.6, 0.15, 2.5)",
            (name, model),
        )
        price = {"input": 0.6, "cached": 0.15, "output": 2.5, "version": "2026-11"}
        await until(connection, lambda listed: bool(models_of(listed, name)[0]["price"] == price))
        result = await chat(connection, model, "Hi again")
    cost = envelope(result)["metadata"]["usage"]["cost"]
    assert cost == result["outputs"][0]["metadata"]["usage"]["cost"] == 0.00067
    rows = database.execute(
        "SELECT cost::text, price_version, input_tokens, cached_tokens, reasoning_tokens, output_tokens"
        " FROM tool_calls WHERE model = %s ORDER BY ended_at",
        (model,),
    ).fetchall()
    assert rows == [(None, "", 1000, 400, 50, 100), ("0.00067000", "2026-11", 1000, 400, 50, 100)]


async def test_a_listing_is_never_partial_while_endpoints_come_and_go(
    other_hub: RunningHub, token: str, add_endpoint: AddEndpoint, database: psycopg.Connection
) -> None:
    sizes: set[int] = set()

    async def keep_listing(connection: Wire, name: str) -> None:
        while True:
            listed = await listing(connection)
            sizes.add(sum(model["listed"] for model in models_of(listed, name)))
            assert sum(model["listed"] for model in models_of(listed, "upstream")) == MODELS + 10

    names = [f"burst-{number}" for number in range(50)]
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(wire(other_hub.ws_url, token)) for _ in range(5)]
        name = add_endpoint(*names)
        reading = [asyncio.create_task(keep_listing(connection, name)) for connection in connections[1:]]
        for enabled in (False, True, False, True):
            await until(connections[0], has(name) if not enabled else lacks(name))
            database.execute("UPDATE provider_endpoints SET enabled = %s WHERE name = %s", (enabled, name))
        await until(connections[0], has(name))
        for task in reading:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    assert sizes == {0, 50}


async def test_a_key_of_another_hub_secret_switches_its_endpoint_off_and_the_hub_starts(
    hub_environment: dict[str, str], token: str, add_endpoint: AddEndpoint
) -> None:
    lost = add_endpoint("lost-model", key=_KEY, secret="some other secret, of 32 characters and more")
    fine = add_endpoint("fine-model", key=_NEW_KEY)
    with RunningHub(hub_environment) as started:
        async with wire(started.ws_url, token) as connection:
            listed = await listing(connection)
        log = started.log_text()
    assert fine in listed["configured_providers"]
    assert lost not in listed["configured_providers"]
    (problem,) = [problem for problem in listed["problems"] if lost in problem]
    assert "EXAI_SECRET_KEY" in problem
    assert problem in log


async def test_no_key_of_the_tables_gets_into_a_log_an_error_or_an_answer(
    hub_environment: dict[str, str], token: str, add_endpoint: AddEndpoint, upstream: Upstream
) -> None:
    model = f"refused-{next(_ids)}"
    upstream.behave(model, status=401, error_body={"error": {"message": f"The key {_KEY} is wrong"}})
    with RunningHub({**hub_environment, "LOG_LEVEL": "DEBUG"}) as own:
        async with wire(own.ws_url, token) as connection:
            name = add_endpoint(model, key=_KEY)
            listed = await until(connection, has(name))
            refused = await chat(connection, model)
        log = own.log_text()
    assert f"the key of the endpoint {name} in the admin" in refused["error"]["message"]
    assert _KEY not in json.dumps([refused, listed])
    assert _KEY not in log


async def test_models_that_only_an_endpoint_knows_are_offered_and_marked(
    hub: RunningHub, token: str, add_endpoint: AddEndpoint
) -> None:
    async with wire(hub.ws_url, token) as connection:
        name = add_endpoint("my-own")
        listed = await until(connection, lambda listed: len(models_of(listed, name)) > 1)
        found = {model["id"]: model for model in models_of(listed, name)}
        assert (found["my-own"]["listed"], found["steady"]["listed"]) == (True, False)
        assert found["steady"]["price"] == "unknown"
        assert envelope(await chat(connection, f"{name}/steady"))["metadata"]["provider_used"] == name


async def test_an_endpoint_that_does_not_answer_holds_up_neither_start_nor_calls(
    hub_environment: dict[str, str], token: str, add_endpoint: AddEndpoint, model: str
) -> None:
    name = add_endpoint("silent", url="http://192.0.2.1/v1")  # an address that nobody has (RFC 5737)
    with RunningHub(hub_environment, ready_timeout_s=10) as started:
        async with wire(started.ws_url, token) as connection:
            assert has(name)(await listing(connection))
            assert (await chat(connection, model))["ok"]

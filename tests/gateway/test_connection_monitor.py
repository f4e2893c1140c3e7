"""What the web processes publish of their connections, and the word that closes one."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from redis import Redis

from exai.calls import keys
from exai.calls.connection_monitor import read_connections, tell_to_disconnect
from exai.calls.connection_registry import ConnectionFigures, published_by
from exai.calls.redis_link import RedisAway
from tests.conftest import MakeClient
from tests.gateway.wire import PATIENCE_S, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

Listed = list[ConnectionFigures]


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    """A second web process beside the first."""
    with RunningHub(hub_environment) as other:
        yield other


@pytest.fixture
def redis_url(hub_environment: dict[str, str]) -> str:
    return hub_environment["REDIS_URL"]


async def _listed(redis_url: str, client: str, until: Callable[[Listed], object]) -> Listed:
    """The connections of that client, once they are as wanted."""
    listed: Listed = []
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        listed = [each for each in read_connections(redis_url).connections if each.client == client]
        if until(listed):
            return listed
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never came to that; the last list: {listed}")


async def _still_answers(connection: Wire) -> bool:
    await connection.send({"op": "ping", "request_id": "still"})
    return bool(await connection.until("pong", "still"))


async def test_the_connections_of_all_processes_are_listed_newest_first(
    hub: RunningHub, other_hub: RunningHub, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client(workspace="its-workspace")
    async with wire(hub.ws_url) as first, wire(other_hub.ws_url) as second:
        await first.hello(token, "the-first")
        await second.hello(token, "the-second")
        newest, oldest = await _listed(redis_url, name, lambda listed: len(listed) == 2)
    assert (newest.session, oldest.session) == ("the-second", "the-first")
    assert newest.process != oldest.process
    for listed in (newest, oldest):
        assert (listed.workspace, listed.address, listed.calls) == ("its-workspace", "127.0.0.1", 0)
        assert timedelta() <= datetime.now(UTC) - listed.since < timedelta(seconds=30)


async def test_a_connection_is_listed_before_its_hello_too(hub: RunningHub, redis_url: str) -> None:
    before = datetime.now(UTC)
    async with wire(hub.ws_url):
        listed = await _listed(redis_url, "", lambda listed: any(each.since >= before for each in listed))
    assert (listed[0].client_id, listed[0].session, listed[0].frames_in) == (0, "", 0)


async def test_every_frame_and_byte_counts_once_in_each_direction(
    hub: RunningHub, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    asked = [
        json.dumps({"op": "hello", "session_id": "counted", "token": token}),
        json.dumps({"op": "ping", "request_id": "plain"}),
        json.dumps({"op": "ping", "request_id": "größer — 大"}, ensure_ascii=False),
        "no json",
    ]
    answered = []
    async with wire(hub.ws_url) as connection:
        for text in asked:
            await connection.send(text)
            answered.append((await connection.socket.receive(timeout=PATIENCE_S)).data)
        await connection.socket.send_bytes(b"\x00" * 10)
        answered.append((await connection.socket.receive(timeout=PATIENCE_S)).data)
        (listed,) = await _listed(redis_url, name, lambda listed: listed and listed[0].frames_out == 5)
    assert (listed.frames_in, listed.bytes_in) == (5, sum(len(text.encode()) for text in asked) + 10)
    assert listed.bytes_out == sum(len(text.encode()) for text in answered)


async def test_calls_in_flight_are_listed_and_end(
    hub: RunningHub, make_client: MakeClient, redis_url: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="At last", delay_s=2.0)
    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model})
        await _listed(redis_url, name, lambda listed: listed and listed[0].calls == 1)
        await connection.until("call_tool_res")
        await _listed(redis_url, name, lambda listed: listed and listed[0].calls == 0)


async def test_a_connection_that_ended_leaves_the_list(
    hub: RunningHub, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    async with wire(hub.ws_url, token):
        await _listed(redis_url, name, lambda listed: len(listed) == 1)
    await _listed(redis_url, name, lambda listed: not listed)


async def test_the_connections_of_a_killed_process_vanish_and_no_others(
    hub: RunningHub, hub_environment: dict[str, str], make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    with RunningHub(hub_environment) as dying:
        async with wire(dying.ws_url, token), wire(hub.ws_url, token):
            here, _ = await _listed(redis_url, name, lambda listed: len(listed) == 2)
            os.kill(dying.pid, signal.SIGKILL)
            (left,) = await _listed(redis_url, name, lambda listed: len(listed) == 1)
    assert left.id == here.id


async def test_the_connections_of_a_process_that_ends_in_peace_vanish_with_it(
    hub_environment: dict[str, str], make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    # With a lease that outlasts the end by far: the list is taken back, it does not expire.
    with RunningHub({**hub_environment, "EXAI_SLOT_LEASE_SECS": "8"}) as ending:
        async with wire(ending.ws_url, token) as connection:
            await _listed(redis_url, name, lambda listed: len(listed) == 1)
            os.kill(ending.pid, signal.SIGTERM)
            assert (await connection.closed())[0] == 1012
            ending.wait()
    assert [each for each in read_connections(redis_url).connections if each.client == name] == []


async def test_a_told_process_closes_that_connection_at_once_and_no_other(
    hub: RunningHub, other_hub: RunningHub, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    async with wire(hub.ws_url) as kept, wire(other_hub.ws_url) as ended, wire(other_hub.ws_url) as beside:
        for connection, session in ((kept, "kept"), (ended, "ended"), (beside, "beside")):
            await connection.hello(token, session)
        listed = await _listed(redis_url, name, lambda listed: len(listed) == 3)
        told_at = time.monotonic()
        assert tell_to_disconnect(redis_url, next(each for each in listed if each.session == "ended"))
        assert await ended.closed() == (1008, "disconnected by an operator")
        assert time.monotonic() - told_at < 1
        # Published anew before it was closed, not with the next sign of life.
        left = [each for each in read_connections(redis_url).connections if each.client == name]
        assert {each.session for each in left} == {"kept", "beside"}
        assert await _still_answers(kept)
        assert await _still_answers(beside)


async def test_the_calls_of_a_connection_closed_by_an_operator_go_on(
    hub: RunningHub, make_client: MakeClient, redis_url: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="Kept", delay_s=1.5)
    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "Hi", "model": model}, "paid")
        (listed,) = await _listed(redis_url, name, lambda listed: listed and listed[0].calls == 1)
        tell_to_disconnect(redis_url, listed)
        assert (await connection.closed())[0] == 1008
    async with wire(hub.ws_url, token) as again:
        await again.send({"op": "resume", "request_id": "paid"})
        assert envelope((await again.until("call_tool_res", "paid"))[-1])["content"] == "Kept"
    assert len(upstream.requests(model)) == 1


async def test_a_word_to_a_process_that_is_gone_is_heard_by_nobody(
    hub: RunningHub, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        (listed,) = await _listed(redis_url, name, lambda listed: len(listed) == 1)
        listed = msgspec.structs.replace(listed, process="gone")
        assert not tell_to_disconnect(redis_url, listed)
        assert await _still_answers(connection)


def test_a_list_that_cannot_be_read_hides_no_other_and_is_named(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.zadd(f"{keys.PREFIX}processes", {"of-tomorrow": (time.time() + 60) * 1000})
        redis.set(published_by("of-tomorrow"), '[{"id": 7}]', ex=60)
        try:
            assert read_connections(redis_url).unreadable == ["of-tomorrow"]
        finally:
            redis.zrem(f"{keys.PREFIX}processes", "of-tomorrow")
            redis.delete(published_by("of-tomorrow"))


@pytest.mark.parametrize("url", ["unix:///nonexistent/valkey.sock", "redis://:a-secret@127.0.0.1:1/0"])
def test_without_redis_the_list_says_so_soon_and_without_the_address(url: str) -> None:
    started = time.monotonic()
    with pytest.raises(RedisAway) as away:
        read_connections(url)
    assert time.monotonic() - started < 3
    assert str(away.value) == "Redis is away: it cannot be reached"

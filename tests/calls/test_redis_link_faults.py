"""The link to Redis when Redis dies, hangs, refuses, or is somebody else; each test on both event loops."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from exai.calls import redis_connection
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused, Script
from tests.calls.links import a_link, a_name, other_tasks, until
from tests.calls.own_valkey import OwnValkey, own_valkey

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
PATIENCE_S = 0.4


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


async def away_at_once(link: RedisLink) -> bool:
    """Whether a command fails without any waiting."""
    command = asyncio.ensure_future(link.command("PING"))
    await asyncio.sleep(0)
    return command.done() and isinstance(command.exception(), RedisAway)


async def test_when_redis_dies_all_that_wait_are_told_and_the_link_returns_by_itself(valkey: OwnValkey) -> None:
    key = a_name()
    async with a_link(valkey.url) as link:
        assert await link.script(ADD, [key], [1]) == 1
        valkey.freeze()  # so that commands wait
        waiting = [asyncio.create_task(link.command("ECHO", number)) for number in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        valkey.kill()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert all(isinstance(outcome, RedisAway) for outcome in outcomes)
        assert link.away
        assert await away_at_once(link)
        link.send("SET", key, "dropped")
        valkey.start_again()
        await until(lambda: not link.away)
        assert await link.script(ADD, [key], [1]) in (1, 2)  # what Redis keeps through a crash is its own affair
        link.send_script(ADD, [key], [0])
        assert await asyncio.gather(*(link.command("ECHO", number) for number in range(3))) == [b"0", b"1", b"2"]


async def test_a_redis_that_hangs_is_waited_for_no_longer_than_the_patience(valkey: OwnValkey) -> None:
    async with a_link(valkey.url, patience_s=PATIENCE_S) as link:
        await link.command("PING")
        valkey.freeze()
        started = time.monotonic()
        outcomes = await asyncio.gather(*(link.command("ECHO", n) for n in range(10)), return_exceptions=True)
        assert all(isinstance(outcome, RedisAway) for outcome in outcomes)
        assert PATIENCE_S - 0.05 < time.monotonic() - started < PATIENCE_S + 1
        assert link.away
        assert await away_at_once(link)
        valkey.thaw()
        await until(lambda: not link.away)
        assert await link.command("ECHO", "in step") == b"in step"


async def test_a_late_command_does_not_take_the_patience_of_the_next_one(valkey: OwnValkey) -> None:
    async with a_link(valkey.url, patience_s=PATIENCE_S) as link:
        give_up_at = time.monotonic() + 3 * PATIENCE_S
        while time.monotonic() < give_up_at:
            await link.command("PING")
            await asyncio.sleep(0.01)
        assert not link.away


async def test_an_idle_link_notices_that_redis_hangs(valkey: OwnValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "HEARTBEAT_S", 0.05)
    async with a_link(valkey.url, patience_s=PATIENCE_S) as link:
        await link.command("PING")
        valkey.freeze()
        await until(lambda: link.away)


async def test_a_process_that_stood_still_itself_does_not_blame_redis(valkey: OwnValkey) -> None:
    async with a_link(valkey.url, patience_s=PATIENCE_S) as link:
        await link.command("PING")
        waiting = asyncio.create_task(link.command("ECHO", "read late"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # written
        _stand_still(PATIENCE_S * 1.5)
        assert await waiting == b"read late"
        assert not link.away


async def test_the_first_commands_of_a_process_wait_for_a_redis_that_hangs_no_longer_than_the_patience(
    valkey: OwnValkey,
) -> None:
    valkey.freeze()
    async with a_link(valkey.url, patience_s=PATIENCE_S) as link:
        assert not link.away
        started = time.monotonic()
        outcomes = await asyncio.gather(*(link.command("ECHO", n) for n in range(10)), return_exceptions=True)
        assert all(isinstance(outcome, RedisAway) for outcome in outcomes)
        assert time.monotonic() - started < PATIENCE_S + 1
        assert link.away
        valkey.thaw()
        await until(lambda: not link.away)


async def test_subscriptions_go_on_after_redis_was_restarted(valkey: OwnValkey) -> None:
    channel = a_name()
    heard: list[bytes] = []
    resumed: list[bool] = []
    async with a_link(valkey.url) as link:
        await link.subscribe(channel, heard.append, on_resumed=lambda: resumed.append(True))
        await link.command("PUBLISH", channel, "before")
        await until(lambda: heard == [b"before"])
        assert not resumed
        valkey.kill()
        await until(lambda: link.away)
        late = await link.subscribe(f"{channel}:late", heard.append)
        valkey.start_again()
        await until(lambda: not link.away and bool(resumed))
        await link.command("PUBLISH", channel, "after")
        await until(lambda: heard == [b"before", b"after"])
        link.send("PUBLISH", f"{channel}:late", "to the late one")  # subscribed with the other, on one connection
        await until(lambda: heard[2:] == [b"to the late one"])
        late.close()


async def test_a_wrong_password_is_named_and_not_repeated(valkey: OwnValkey, caplog: pytest.LogCaptureFixture) -> None:
    url = valkey.url.replace(valkey.password, "a-wrong-password")
    async with a_link(url) as link:
        with pytest.raises(RedisAway, match=r"refuses the user name or password \(WRONGPASS\)") as away:
            await link.command("PING")
        assert "a-wrong-password" not in str(away.value) + repr(link) + caplog.text
        assert link.away
    assert valkey.socket_path not in caplog.text + repr(link)


async def test_a_user_of_redis_can_be_named_and_is_held_to_what_it_may(valkey: OwnValkey) -> None:
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "hub", "on", ">p@ss:/word", "~hub:*", "&hub:*", "+@all", "-select")
    url = f"unix://hub:p%40ss%3A%2Fword@{valkey.socket_path}"
    async with a_link(url) as link, a_link(f"{url}?db=3") as elsewhere:
        assert await link.command("SET", "hub:1", "mine") == b"OK"
        with pytest.raises(RedisRefused) as refused:
            await link.command("GET", "others:1")
        assert refused.value.code == "NOPERM"
        with pytest.raises(RedisRefused):
            await link.subscribe("others:channel", lambda _: None)
        assert not link.away
        heard: list[bytes] = []
        await link.subscribe("hub:channel", heard.append)
        link.send("PUBLISH", "hub:channel", "heard")
        await until(lambda: heard == [b"heard"])
        with pytest.raises(RedisAway, match="refuses database 3"):
            await elsewhere.command("PING")


async def test_where_nothing_listens_the_link_is_away_and_leaves_nothing_when_it_is_closed() -> None:
    before = other_tasks()
    for url in ("unix:///nonexistent/valkey.sock", "redis://127.0.0.1:1/0", "redis://host.invalid"):
        async with a_link(url, patience_s=2) as link:
            link.send("SET", "a", "b")
            with pytest.raises(RedisAway):
                await link.command("PING")
            assert link.away
            assert await away_at_once(link)
            subscription = await link.subscribe("channel", lambda _: None)
            subscription.close()
        assert other_tasks() == before


class Impostor:
    """A server on loopback that speaks as a test wants; counts its connections."""

    def __init__(self, answer: bytes | None, *, reads: bool = True) -> None:
        self.answer = answer
        self.reads = reads
        self.now = self.most = self.ever = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now, self.ever = self.now + 1, self.ever + 1
        self.most = max(self.most, self.now)
        try:
            while await reader.read(65536):
                if self.answer is not None:
                    writer.write(self.answer)
                if not self.reads:
                    await asyncio.Event().wait()
        except ConnectionError:
            return
        finally:
            self.now -= 1
            writer.close()


@asynccontextmanager
async def impostor(answer: bytes | None, *, reads: bool = True) -> AsyncIterator[Impostor]:
    speaker = Impostor(answer, reads=reads)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(speaker.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    speaker.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield speaker
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_never_more_than_one_connection_is_tried_at_a_time() -> None:
    async with impostor(None) as server, a_link(server.url, patience_s=0.1) as link:
        while server.ever < 4:
            with pytest.raises(RedisAway):
                await link.command("PING")
            await asyncio.sleep(0.001)
        assert server.most == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-LOADING of data\r\n", b"*1\r\n" * 50, b"$4\r\nPO"]
)
async def test_what_does_not_speak_as_redis_does_is_away(answer: bytes) -> None:
    async with impostor(answer) as server, a_link(server.url, patience_s=PATIENCE_S) as link:
        with pytest.raises(RedisAway):
            await link.command("PING")
        assert link.away


async def test_a_connection_with_more_replies_than_commands_is_dropped() -> None:
    async with impostor(b"+PONG\r\n+PONG\r\n+PONG\r\n") as server, a_link(server.url) as link:
        with suppress(RedisAway):
            await link.command("PING")
        await until(lambda: server.ever > 1)


async def test_a_redis_that_repeats_the_password_in_its_refusal_does_not_get_it_into_a_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = b"-ERR unknown command `AUTH`, `hunter2`\r\n+PONG\r\n"
    async with impostor(answer) as server, a_link(server.url.replace("redis://", "redis://:hunter2@")) as link:
        with pytest.raises(RedisAway, match=r"refuses the user name or password \(ERR\)") as away:
            await link.command("PING")
    assert "hunter2" not in str(away.value) + caplog.text


async def test_a_redis_that_does_not_read_costs_bounded_memory() -> None:
    megabyte = bytes(1024 * 1024)
    async with impostor(b"+PONG\r\n", reads=False) as server, a_link(server.url, patience_s=60) as link:
        sent = 0
        while not link.away:
            link.send("SET", "key", megabyte)
            sent += 1
            await asyncio.sleep(0)
            assert sent < 200
        assert sent > 60


async def test_what_is_given_while_the_link_connects_is_bounded_too() -> None:
    megabyte = bytes(1024 * 1024)
    async with impostor(None) as server, a_link(server.url, patience_s=60) as link:
        sent = 0
        while sent < 200 and not link.away:
            link.send("SET", "key", megabyte)
            sent += 1
        assert 60 < sent < 80


def _stand_still(seconds: float) -> None:
    """Keeps this process's event loop from turning."""
    until_then = time.monotonic() + seconds
    while time.monotonic() < until_then:
        pass


async def test_a_redis_that_is_full_counts_as_away_until_there_is_room(valkey: OwnValkey) -> None:
    key = a_name()
    with valkey.client() as client:
        async with a_link(valkey.url) as link:
            assert await link.script(ADD, [key], [1]) == 1
            client.config_set("maxmemory", 1)
            with pytest.raises(RedisAway):
                await link.command("SET", key, "x")
            with pytest.raises(RedisAway):
                await link.script(ADD, [key], [1])
            client.config_set("maxmemory", 0)
            assert await link.script(ADD, [key], [1]) == 2

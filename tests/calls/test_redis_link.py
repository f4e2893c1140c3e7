"""The link to Redis while Redis is well, on the Valkey of the test session; each test on both event loops."""

import asyncio
import logging
import os

import pytest

from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused, Script
from tests.calls.links import a_link, a_name, other_tasks, until
from tests.calls.own_valkey import own_valkey

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
NEST = Script("return {KEYS[1], ARGV[1], {1, false, 'x'}}")


async def test_replies_are_bytes_integers_lists_and_none() -> None:
    key = a_name()
    async with a_link() as link:
        assert await link.command("SET", key, "ä") == b"OK"
        assert await link.command("GET", key) == "ä".encode()
        assert await link.command("APPEND", key, 7) == 3
        assert await link.command("MGET", key, f"{key}:none") == ["ä7".encode(), None]
        assert await link.command("INCRBYFLOAT", f"{key}:sum", 0.5) == b"0.5"
        assert await link.command("DEL", key, f"{key}:sum") == 2


async def test_values_of_any_bytes_come_back_as_they_were() -> None:
    key, value = a_name(), bytes(range(256)) + b"\r\n$3\r\n"
    async with a_link() as link:
        await link.command("SET", key, value)
        assert await link.command("GETDEL", key) == value


async def test_a_value_of_five_megabytes_comes_back_as_it_was() -> None:
    key, value = a_name(), os.urandom(5_000_000)
    async with a_link(patience_s=30) as link:
        await link.command("SET", key, value)
        assert await link.command("GETDEL", key) == value


async def test_each_of_a_thousand_concurrent_commands_gets_its_own_reply() -> None:
    async with a_link() as link:
        replies = await asyncio.gather(*(link.command("ECHO", number) for number in range(1000)))
        assert replies == [b"%d" % number for number in range(1000)]


async def test_cancelled_commands_do_not_shift_the_replies_of_others() -> None:
    async with a_link() as link:
        await link.command("PING")
        tasks = [asyncio.create_task(link.command("ECHO", number)) for number in range(300)]
        await asyncio.sleep(0)  # all are given, none is answered
        for task in tasks[::3]:
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for number, reply in enumerate(replies):
            if number % 3:
                assert reply == b"%d" % number
            else:
                assert isinstance(reply, asyncio.CancelledError)
        assert await link.command("ECHO", "next") == b"next"


async def test_the_first_commands_of_a_process_share_one_connection_and_one_may_be_cancelled() -> None:
    async with a_link() as link:
        first = asyncio.create_task(link.command("CLIENT", "ID"))
        more = [asyncio.create_task(link.command("CLIENT", "ID")) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        assert len(set(await asyncio.gather(*more))) == 1


async def test_a_refusal_reaches_only_the_one_that_asked() -> None:
    key = a_name()
    async with a_link() as link:
        await link.command("SET", key, "text")
        fine, refused, fine_too = [asyncio.create_task(link.command(name, key)) for name in ("GET", "INCR", "DEL")]
        assert (await fine, await fine_too) == (b"text", 1)
        with pytest.raises(RedisRefused) as refusal:
            await refused
        assert refusal.value.code == "ERR"
        assert not link.away


async def test_a_refusal_has_the_code_of_redis_and_not_the_arguments() -> None:
    async with a_link() as link:
        with pytest.raises(RedisRefused) as unknown:
            await link.command("NOSUCH", "a secret argument")
        assert "secret" not in str(unknown.value)
        with pytest.raises(RedisRefused) as missing:
            await link.command("EVALSHA", "0" * 40, 0)
        assert missing.value.code == "NOSCRIPT"


@pytest.mark.parametrize("part", [None, True, ["list"], "\ud800"], ids=repr)
async def test_what_redis_has_no_notation_for_is_an_error_of_the_caller_alone(part: object) -> None:
    async with a_link() as link:
        with pytest.raises((TypeError, UnicodeEncodeError)):
            await link.command("ECHO", part)  # type: ignore[arg-type]
        with pytest.raises((TypeError, UnicodeEncodeError)):
            link.send("ECHO", part)  # type: ignore[arg-type]
        assert await link.command("ECHO", "well") == b"well"


async def test_what_is_sent_runs_in_order_with_what_is_awaited() -> None:
    key = a_name()
    async with a_link() as link:
        for number in range(100):
            link.send("RPUSH", key, number)
        assert await link.command("LLEN", key) == 100
        assert await link.command("LRANGE", key, 0, -1) == [b"%d" % number for number in range(100)]
        link.send("DEL", key)


async def test_refusals_of_what_is_sent_are_logged_rarely_and_without_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_link() as link:
        for _ in range(100):
            link.send("NOSUCH", "a secret argument")
        assert await link.command("PING") == b"PONG"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "NOSUCH" in errors[0]
    assert "secret" not in caplog.text


async def test_a_script_gets_keys_and_arguments() -> None:
    key = a_name()
    async with a_link() as link:
        assert await link.script(NEST, [key], [b"\x00"]) == [key.encode(), b"\x00", [1, None, b"x"]]
        link.send_script(ADD, [key], [2])
        assert await link.script(ADD, [key], [3]) == 5
        link.send("DEL", key)


async def test_scripts_run_also_after_redis_forgot_them() -> None:
    key = a_name()
    async with a_link() as link:
        assert await link.script(ADD, [key], [1]) == 1
        await link.command("SCRIPT", "FLUSH")
        assert await asyncio.gather(*(link.script(ADD, [key], [1]) for _ in range(5))) == [2, 3, 4, 5, 6]
        await link.command("SCRIPT", "FLUSH")
        for _ in range(5):
            link.send_script(ADD, [key], [10])
        await link.command("PING")  # the refusals have come, and the repetitions are under way
        assert await link.command("GETDEL", key) == b"56"


async def test_a_script_that_fails_or_is_wrong_is_refused() -> None:
    async with a_link() as link:
        with pytest.raises(RedisRefused):
            await link.script(Script("return redis.call('NOSUCH')"), [])
        with pytest.raises(RedisRefused, match="compil"):
            await link.script(Script("this is not Lua"), [])
        assert await link.command("PING") == b"PONG"


async def test_databases_are_kept_apart() -> None:
    key = a_name()
    here = os.environ["REDIS_URL"]
    number = int(here.rpartition("=")[2])
    there = here.replace(f"db={number}", f"db={15 - number}")
    async with a_link(here) as one, a_link(there) as other:
        await one.command("SET", key, "here")
        assert await other.command("GET", key) is None
        assert await one.command("GETDEL", key) == b"here"


async def test_messages_reach_each_subscriber_of_their_channel() -> None:
    channel = a_name()
    heard: list[bytes] = []
    also_heard: list[bytes] = []
    async with a_link() as link:
        one = await link.subscribe(channel, heard.append)
        other = await link.subscribe(channel, also_heard.append)
        await link.command("PUBLISH", f"{channel}:else", "not ours")
        for number in range(50):
            link.send("PUBLISH", channel, b"\xff%d" % number)
        await until(lambda: len(heard) == 50 and len(also_heard) == 50)
        assert heard == also_heard == [b"\xff%d" % number for number in range(50)]
        one.close()
        one.close()
        assert await link.command("PUBLISH", channel, "for the other") == 1
        await until(lambda: len(also_heard) == 51)
        assert len(heard) == 50
        other.close()
        while await link.command("PUBLISH", channel, "for nobody"):
            pass
        assert len(also_heard) >= 51


async def test_a_subscriber_that_fails_does_not_disturb_the_others(caplog: pytest.LogCaptureFixture) -> None:
    channel = a_name()
    heard: list[bytes] = []

    def fail(message: bytes) -> None:
        raise LookupError

    async with a_link() as link:
        await link.subscribe(channel, fail)
        await link.subscribe(channel, heard.append)
        link.send("PUBLISH", channel, "one")
        link.send("PUBLISH", channel, "two")
        await until(lambda: heard == [b"one", b"two"])
    assert "LookupError" in caplog.text


async def test_closing_delivers_what_was_sent_and_leaves_no_task() -> None:
    key, before = a_name(), other_tasks()
    async with a_link() as watching:
        async with a_link() as link:
            await link.subscribe(a_name(), lambda _: None)
            link.send("SET", key, "sent")
            await link.close()
            assert await watching.command("GETDEL", key) == b"sent"
            with pytest.raises(RedisAway, match="closed"):
                await link.command("PING")
            with pytest.raises(RedisAway, match="closed"):
                await link.subscribe(a_name(), lambda _: None)
            link.send("SET", key, "too late")
            await link.close()
        assert await watching.command("GET", key) is None
    assert other_tasks() == before


async def test_a_link_closed_while_it_connects_answers_those_that_wait() -> None:
    before = other_tasks()
    link = RedisLink(os.environ["REDIS_URL"])
    waiting = asyncio.create_task(link.command("PING"))
    await asyncio.sleep(0)
    await link.close()
    assert await waiting == b"PONG"
    assert other_tasks() == before
    await RedisLink(os.environ["REDIS_URL"]).close()  # one that was never used


async def test_many_coroutines_share_few_writes() -> None:
    with own_valkey() as valkey:  # that nobody else reads from
        async with a_link(valkey.url) as link:
            await link.command("PING")
            before = await _reads(link)
            await asyncio.gather(*(link.command("ECHO", number) for number in range(1000)))
            assert await _reads(link) - before < 20


async def _reads(link: RedisLink) -> int:
    """How often Redis has read from any connection so far."""
    stats: bytes = await link.command("INFO", "stats")
    return int(stats.partition(b"total_reads_processed:")[2].split()[0])

"""Slots of a provider that a process keeps for its next request: counted, never in another's way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exai.calls import keys
from exai.calls.process import Process
from exai.calls.provider_slots import SharedProviderSlots
from exai.calls.redis_link import RedisLink
from exai.calls.waiting import Grants
from tests.calls.links import until
from tests.calls.own_valkey import OwnValkey, own_valkey

_POOL = keys.provider_slots("kimi")


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


@pytest.fixture(autouse=True)
def _empty(valkey: OwnValkey) -> None:
    with valkey.client() as client:
        client.flushall()


class Web:
    def __init__(self, url: str, *, lease_s: float = 8.0) -> None:
        self.link = RedisLink(url)
        self.process = Process(self.link, lease_s=lease_s)
        self.slots = SharedProviderSlots(
            self.link, self.process, Grants(self.link, self.process), longest_wait_s=5, most_waiting=10
        )

    async def use(self, *, most: int) -> None:
        async with self.slots.slot("kimi", most=most, asker=None):
            await asyncio.sleep(0)


@asynccontextmanager
async def _web(url: str, *, lease_s: float = 8.0) -> AsyncIterator[Web]:
    web = Web(url, lease_s=lease_s)
    await web.process.start()
    try:
        yield web
    finally:
        await web.process.stop()
        await web.link.close()


def _scripts_run(valkey: OwnValkey) -> int:
    with valkey.client() as client:
        stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


async def test_a_process_that_asks_again_and_again_needs_no_round_trips_for_it(valkey: OwnValkey) -> None:
    async with _web(valkey.url) as web:
        await web.use(most=4)
        before = _scripts_run(valkey)
        for _ in range(50):
            await web.use(most=4)
        assert _scripts_run(valkey) - before < 5
        assert await web.link.command("ZCARD", _POOL) == 1


async def test_a_spare_slot_is_given_to_whoever_waits_at_once(valkey: OwnValkey) -> None:
    async with _web(valkey.url, lease_s=80) as keeper, _web(valkey.url, lease_s=80) as other:
        await keeper.use(most=1)
        async with asyncio.timeout(4):  # long before a sign of life would give it back
            await other.use(most=1)
        # Where somebody waited lately, none is kept.
        async with asyncio.timeout(4):
            await keeper.use(most=1)
        assert await keeper.link.command("ZCARD", _POOL) == 0


async def test_spare_slots_are_counted_and_few(valkey: OwnValkey) -> None:
    async with _web(valkey.url) as web:
        await asyncio.gather(*(web.use(most=8) for _ in range(8)))
        await web.link.command("PING")
        assert await web.link.command("ZCARD", _POOL) == 2


async def test_a_spare_slot_that_is_of_no_use_is_given_back(valkey: OwnValkey) -> None:
    async with _web(valkey.url, lease_s=0.4) as web:
        await web.use(most=4)
        assert web.process.calls
        await until(lambda: not web.process.calls)
        assert await web.link.command("ZCARD", _POOL) == 0


async def test_no_spare_slot_outlives_the_connection_over_which_it_was_renewed(valkey: OwnValkey) -> None:
    async with _web(valkey.url) as web, _web(valkey.url) as other:
        await web.use(most=1)
        with valkey.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
            client.delete(_POOL)  # its lease has run out
        await until(lambda: bool(web.link.losses and other.link.losses) and not web.link.away and not other.link.away)
        async with other.slots.slot("kimi", most=1, asker=None):
            using = asyncio.create_task(web.use(most=1))
            done, _ = await asyncio.wait({using}, timeout=0.2)
            assert not done
        async with asyncio.timeout(3):
            await using


async def test_no_spare_slot_is_used_past_its_lease(valkey: OwnValkey) -> None:
    # As after the process stood still: its signs of life did not come, and another has the slot by now.
    async with _web(valkey.url, lease_s=0.4) as web, _web(valkey.url) as other:
        await web.use(most=1)
        assert web.process._beating is not None
        assert web.process._subscription is not None
        web.process._beating.cancel()
        web.process._subscription.close()  # it does not hear either that a slot is wanted
        async with other.slots.slot("kimi", most=1, asker=None):  # once the lease has run out
            using = asyncio.create_task(web.use(most=1))
            done, _ = await asyncio.wait({using}, timeout=0.2)
            assert not done
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)

"""Signs of life of web processes: the dead are seen to, the living never, not even after an outage."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from exai.calls.admission import Admission
from exai.calls.limits import Bucket
from exai.calls.process import Process
from exai.calls.redis_link import RedisLink
from exai.calls.waiting import Grants
from tests.calls.links import until
from tests.calls.own_valkey import OwnValkey, own_valkey

_LEASE_S = 0.8


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


class Watched:
    """A process that notes its beats and the dead that it is shown."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.beats = 0
        self.dead: list[str] = []
        process.on_beat(self._beat)
        process.on_dead(self._see_to)

    def _beat(self) -> None:
        self.beats += 1

    async def _see_to(self, dead: list[str]) -> None:
        self.dead += dead

    async def beat(self, times: int) -> None:
        wanted = self.beats + times
        await until(lambda: self.beats >= wanted, within_s=10)


@asynccontextmanager
async def _process(url: str) -> AsyncIterator[Watched]:
    link = RedisLink(url)
    watched = Watched(Process(link, lease_s=_LEASE_S, reaper_lease_s=0.1))
    await watched.process.start()
    try:
        yield watched
    finally:
        await watched.process.stop()
        await link.close()


async def test_a_process_that_gives_no_sign_of_life_is_shown_to_another(valkey: OwnValkey) -> None:
    async with _process(valkey.url) as living:
        async with _process(valkey.url) as dying:
            await living.beat(1)
            assert dying.process._beating is not None
            dying.process._beating.cancel()
            await until(lambda: dying.process.id in living.dead, within_s=10)
        assert living.process.id not in living.dead


async def test_after_an_outage_of_redis_no_living_process_is_taken_for_dead(valkey: OwnValkey) -> None:
    async with _process(valkey.url) as one, _process(valkey.url) as two:
        await one.beat(1)
        await two.beat(1)
        await asyncio.to_thread(valkey.kill)
        await asyncio.sleep(_LEASE_S * 1.5)  # every lease runs out
        await asyncio.to_thread(valkey.start_again)
        await one.beat(6)
        await two.beat(6)
        assert one.dead == []
        assert two.dead == []


async def test_a_clock_that_was_set_back_takes_no_tokens_away(valkey: OwnValkey) -> None:
    link = RedisLink(valkey.url)
    process = Process(link, lease_s=_LEASE_S)
    admission = Admission(
        link,
        process,
        Grants(link, process),
        longest_wait_s=1,
        most_waiting=1,
        retention_s=1,
        call_timeout_s=1,
    )
    seconds = int((await link.command("TIME"))[0])
    bucket = Bucket("exai:tokens:all", capacity=5, refill=1)
    await link.command("SET", bucket.key, f"3.000 {(seconds + 3600) * 1000}")
    try:
        for _ in range(3):
            await admission.take_token((bucket,))
        tokens = (await link.command("GET", bucket.key)).decode().split()[0]
        assert float(tokens) < 1
    finally:
        await link.close()

"""Breakers that processes share through Redis: opened by one, seen by all, tried by one."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from exai.calls.breakers import SharedBreakers, read_breakers, reset_breaker
from exai.calls.process import Process
from exai.calls.redis_link import RedisLink
from exai.protocol.errors import ServiceUnavailable
from exai.providers.breaker import BreakerRules, Outcome
from tests.calls.links import a_link, a_name, until
from tests.calls.own_valkey import OwnValkey, own_valkey

RULES = BreakerRules(open_s=0.3)
FAILED, SUCCEEDED = Outcome.FAILED, Outcome.SUCCEEDED


class Web:
    """What a web process has of the breakers."""

    def __init__(self, link: RedisLink, rules: BreakerRules) -> None:
        self.link = link
        self.process = Process(link, lease_s=2)
        self.breakers = SharedBreakers(link, self.process, rules)

    def state(self, provider: str) -> str:
        return self.breakers.standing(provider).state

    async def told(self, provider: str, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.breakers.leave(provider, await self.breakers.enter(provider), outcome)

    async def is_refused(self, provider: str) -> bool:
        try:
            self.breakers.leave(provider, await self.breakers.enter(provider), Outcome.NEITHER)
        except ServiceUnavailable:
            return True
        return False


class Webs:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, rules: BreakerRules = RULES, *, url: str | None = None, patience_s: float = 5.0) -> Web:
        link = await self._stack.enter_async_context(a_link(url, patience_s=patience_s))
        web = Web(link, rules)
        await web.process.start()
        self._stack.push_async_callback(web.process.stop)
        return web


@pytest.fixture
async def webs() -> AsyncIterator[Webs]:
    async with AsyncExitStack() as stack:
        yield Webs(stack)


@pytest.fixture
def provider() -> str:
    """One that no other test uses."""
    return a_name()


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


async def test_one_that_a_process_opens_is_seen_by_the_others_within_a_second(webs: Webs, provider: str) -> None:
    rules = BreakerRules()
    first, second, third = [await webs.start(rules) for _ in range(3)]
    await first.told(provider, *[FAILED] * 5)
    began = time.monotonic()
    await until(lambda: {web.state(provider) for web in (first, second, third)} == {"open"})
    assert time.monotonic() - began < 1
    for web in (first, second, third):
        with pytest.raises(ServiceUnavailable) as refused:
            await web.breakers.enter(provider)
        assert refused.value.details["retry_after"] in (29, 30)


async def test_failures_of_several_processes_count_together(webs: Webs, provider: str) -> None:
    first, second = await webs.start(), await webs.start()
    await first.told(provider, FAILED, FAILED, FAILED)
    await second.told(provider, FAILED)
    assert first.state(provider) == "closed"
    await second.told(provider, FAILED)
    await until(lambda: first.state(provider) != "closed")


async def test_a_success_before_the_fifth_failure_keeps_it_closed(webs: Webs, provider: str) -> None:
    web = await webs.start()
    await web.told(provider, *[FAILED, FAILED, FAILED, FAILED, SUCCEEDED] * 2)
    await web.link.command("PING")
    await web.breakers.look()
    assert web.state(provider) == "closed"


async def test_more_than_half_of_twenty_calls_open_it(webs: Webs, provider: str) -> None:
    web = await webs.start()
    await web.told(provider, *[SUCCEEDED, FAILED] * 10)
    await web.breakers.look()
    assert web.state(provider) == "closed"
    await web.told(provider, FAILED, FAILED)
    await until(lambda: web.state(provider) != "closed")


async def test_successes_alone_are_told_in_time_too(webs: Webs, provider: str) -> None:
    first, second = await webs.start(), await webs.start()
    await first.told(provider, *[FAILED] * 4)
    await second.told(provider, SUCCEEDED)
    counted = f"exai:breaker-calls:{provider}"
    while await first.link.command("LLEN", counted) < 5:
        await first.link.command("PING")
    await first.told(provider, *[FAILED] * 4)
    await first.breakers.look()
    assert first.state(provider) == "closed"


async def _half_open(webs: Webs, provider: str) -> list[Web]:
    processes = [await webs.start() for _ in range(3)]
    await processes[0].told(provider, *[FAILED] * 5)
    await until(lambda: all(web.state(provider) == "half-open" for web in processes))
    return processes


async def test_when_half_open_one_trial_is_let_through_in_all_processes(webs: Webs, provider: str) -> None:
    processes = await _half_open(webs, provider)
    asked = (web.breakers.enter(provider) for web in (*processes, *processes))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    trials = [answer for answer in answers if isinstance(answer, str)]
    assert len(trials) == 1
    assert trials[0]
    assert sum(isinstance(answer, ServiceUnavailable) for answer in answers) == 5


async def test_the_trial_s_success_closes_it_everywhere(webs: Webs, provider: str) -> None:
    processes = await _half_open(webs, provider)
    await processes[1].told(provider, SUCCEEDED)
    await until(lambda: all(web.state(provider) == "closed" for web in processes))
    assert not await processes[2].is_refused(provider)
    assert provider not in await read_breakers(processes[0].link)


async def test_the_trial_s_failure_opens_it_anew_for_as_long(webs: Webs, provider: str) -> None:
    processes = await _half_open(webs, provider)
    await processes[1].told(provider, FAILED)
    await until(lambda: all(web.state(provider) == "open" for web in processes))
    await until(lambda: all(web.state(provider) == "half-open" for web in processes))


async def test_a_trial_that_shows_nothing_leaves_the_next_to_another(webs: Webs, provider: str) -> None:
    processes = await _half_open(webs, provider)
    await processes[0].told(provider, Outcome.NEITHER)
    await processes[0].link.command("PING")  # what was sent before is in force
    assert await processes[1].breakers.enter(provider)


async def test_a_call_cancelled_while_it_asks_for_the_trial_leaves_it_to_another(webs: Webs, provider: str) -> None:
    processes = await _half_open(webs, provider)
    asking = asyncio.create_task(processes[0].breakers.enter(provider))
    await asyncio.sleep(0)  # its question is on the way
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await processes[0].link.command("PING")  # what was sent before is in force
    assert await processes[1].breakers.enter(provider)


async def test_a_process_that_comes_later_knows_what_is_open(webs: Webs, provider: str) -> None:
    first = await webs.start(BreakerRules())
    await first.told(provider, *[FAILED] * 5)
    await until(lambda: first.state(provider) == "open")
    later = await webs.start(BreakerRules())
    await until(lambda: later.state(provider) == "open")


async def test_a_reset_closes_it_everywhere(webs: Webs, provider: str) -> None:
    first, second = await webs.start(BreakerRules()), await webs.start(BreakerRules())
    await first.told(provider, *[FAILED] * 5)
    await until(lambda: second.state(provider) == "open")
    assert 25 < (await read_breakers(first.link))[provider] <= 30
    assert await reset_breaker(first.link, provider)
    await until(lambda: {first.state(provider), second.state(provider)} == {"closed"})
    assert not await reset_breaker(first.link, provider)


async def test_breakers_that_are_off_count_nothing(webs: Webs, provider: str) -> None:
    web = await webs.start(BreakerRules(open_s=0))
    await web.told(provider, *[FAILED] * 30)
    await web.link.command("PING")
    assert provider not in await read_breakers(web.link)
    assert not await web.link.command("EXISTS", f"exai:breaker-calls:{provider}")


async def test_while_redis_is_away_a_process_has_its_own_and_returns_to_the_shared(
    webs: Webs, provider: str, valkey: OwnValkey
) -> None:
    web = await webs.start(url=valkey.url, patience_s=0.5)
    valkey.kill()
    await until(lambda: web.link.away)
    await web.told(provider, *[FAILED] * 5)
    assert web.state(provider) == "open"
    assert await web.is_refused(provider)
    await until(lambda: web.state(provider) == "half-open")
    await web.told(provider, SUCCEEDED)
    assert web.state(provider) == "closed"
    valkey.start_again()
    await until(lambda: not web.link.away)
    await web.told(provider, *[FAILED] * 5)
    await until(lambda: web.state(provider) == "open")


async def test_one_that_was_open_when_redis_went_away_is_tried_by_the_process_alone(
    webs: Webs, provider: str, valkey: OwnValkey
) -> None:
    web = await webs.start(url=valkey.url, patience_s=0.5)
    await web.told(provider, *[FAILED] * 5)
    await until(lambda: web.state(provider) == "open")
    valkey.kill()
    await until(lambda: web.link.away)
    await until(lambda: web.state(provider) == "half-open")
    trial = await web.breakers.enter(provider)
    assert trial
    assert await web.is_refused(provider)
    web.breakers.leave(provider, trial, SUCCEEDED)
    assert not await web.is_refused(provider)

"""Budgets in Redis: held for calls, settled after them, filled from the ledger, for all processes alike."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import count

import pytest
import redis

from exai.calls.budgets import Account, Amounts, BudgetCounters, LedgerSum, OverBudget
from exai.calls.keys import budget_filling, budget_held
from exai.calls.process import Process
from exai.calls.redis_link import RedisLink
from exai.models import BudgetPeriod
from exai.protocol.errors import ServiceUnavailable
from tests.calls.links import until
from tests.calls.own_valkey import own_valkey

_TEN = Amounts(10, 10)
_DAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
_numbers = count()


class _Ledger:
    """What the database would say."""

    def __init__(self) -> None:
        self.calls: dict[str, Amounts] = {}
        self.lookups = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def read(self, account: Account) -> LedgerSum:
        self.lookups += 1
        seen = dict(self.calls)
        await self.open.wait()
        if self.fails:
            raise ServiceUnavailable("away")
        return LedgerSum(sum(seen.values(), Amounts()), list(seen))


class _Hub:
    """One process's counters."""

    def __init__(self, link: RedisLink, process: Process, ledger: _Ledger) -> None:
        self.link, self.process, self.ledger = link, process, ledger
        self.counters = BudgetCounters(link, process, read_ledger=ledger.read)

    async def spend(self, amounts: Amounts, account: Account, call: str) -> None:
        """As a call does: held, put on record, settled."""
        await self.counters.hold(call, None, amounts, [account])
        self.ledger.calls[call] = amounts
        self.counters.settle(call, amounts, amounts, [account])
        await self.counters.drain(within_s=5)


@asynccontextmanager
async def _hub(url: str, ledger: _Ledger, *, lease_s: float = 0.4) -> AsyncIterator[_Hub]:
    link = RedisLink(url)
    process = Process(link, lease_s=lease_s)
    await process.start()
    try:
        yield _Hub(link, process, ledger)
    finally:
        await process.stop()
        await link.close()


@pytest.fixture
def ledger() -> _Ledger:
    return _Ledger()


@pytest.fixture
async def hub(redis_url: str, ledger: _Ledger) -> AsyncIterator[_Hub]:
    async with _hub(redis_url, ledger) as hub:
        yield hub


def _account(*, tokens: int | None = None, nano: int | None = None) -> Account:
    subject = f"client:{os.getpid()}-{next(_numbers)}"
    return Account(subject, "client c", "day", *_DAY, tokens=tokens, nano=nano, client_id=1)


def _state(url: str, account: Account) -> tuple[dict[str, int], list[str]]:
    """What is settled, and what is held."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        settled = {name: int(value) for name, value in client.hgetall(account.key).items()}
        return settled, client.zrange(budget_held(account.key), 0, -1)


async def test_what_is_held_is_not_given_again_and_what_is_not_needed_is_free_after(redis_url: str, hub: _Hub) -> None:
    account = _account(tokens=100)
    await hub.counters.hold("a", None, Amounts(80, 5), [account])
    with pytest.raises(OverBudget) as caught:
        await hub.counters.hold("b", None, Amounts(21), [account])
    assert (caught.value.unit, caught.value.settled, caught.value.held) == ("tokens", 0, 80)
    await hub.counters.hold("c", None, Amounts(20), [account])
    hub.counters.settle("a", Amounts(80, 5), Amounts(30, 2), [account])
    await hub.counters.drain(within_s=5)
    assert _state(redis_url, account) == ({"tokens": 30, "nano": 2}, ["c 20 0"])
    await hub.counters.hold("b", None, Amounts(50), [account])


@pytest.mark.parametrize("unit", ["tokens", "usd"])
async def test_two_hundred_calls_of_three_processes_at_once_never_hold_more_than_the_limit(
    redis_url: str, ledger: _Ledger, unit: str
) -> None:
    account = _account(tokens=1000) if unit == "tokens" else _account(nano=1000)
    ledger.calls["earlier"] = Amounts(5, 5)
    async with AsyncExitStack() as stack:
        hubs = [await stack.enter_async_context(_hub(redis_url, ledger, lease_s=2)) for _ in range(3)]
        holding = [hubs[number % 3].counters.hold(f"{number}", None, _TEN, [account]) for number in range(200)]
        results = await asyncio.gather(*holding, return_exceptions=True)
        assert results.count(None) == 99
        assert {result.unit for result in results if isinstance(result, OverBudget)} == {unit}
        assert ledger.lookups == 1
        for number, result in enumerate(results):
            if result is None:
                hubs[number % 3].counters.settle(f"{number}", _TEN, _TEN, [account])
        for hub in hubs:
            await hub.counters.drain(within_s=5)
        assert _state(redis_url, account) == ({"tokens": 995, "nano": 995}, [])


async def test_a_call_is_held_in_all_of_its_accounts_or_in_none(redis_url: str, hub: _Hub) -> None:
    wide, narrow = _account(tokens=1000), _account(nano=5)
    with pytest.raises(OverBudget) as caught:
        await hub.counters.hold("a", None, _TEN, [wide, narrow])
    assert (caught.value.account, caught.value.unit) == (narrow, "usd")
    assert _state(redis_url, wide)[1] == []


async def test_what_costs_nothing_is_allowed_when_all_money_is_spent(hub: _Hub, ledger: _Ledger) -> None:
    ledger.calls["earlier"] = Amounts(0, 10)
    await hub.counters.hold("a", None, Amounts(tokens=50), [_account(nano=5)])


async def test_a_call_cancelled_while_it_asks_holds_nothing(redis_url: str, hub: _Hub, ledger: _Ledger) -> None:
    account = _account(tokens=15)
    await hub.spend(Amounts(), account, "first")  # from now on the account is known
    asking = asyncio.create_task(hub.counters.hold("second", None, _TEN, [account]))
    await asyncio.sleep(0)  # its question is on the way
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await hub.counters.hold("third", None, _TEN, [account])
    assert _state(redis_url, account)[1] == ["third 10 10"]


async def test_a_call_that_asks_again_holds_in_place_of_what_it_held(redis_url: str, hub: _Hub) -> None:
    account = _account(tokens=100)
    await hub.counters.hold("a", None, Amounts(60), [account])
    await hub.counters.hold("a", Amounts(60), Amounts(100), [account])
    assert _state(redis_url, account)[1] == ["a 100 0"]
    assert [held.id for held in hub.process.calls.values()] == ["a 100 0"]


async def test_what_a_process_holds_lasts_as_long_as_the_process(redis_url: str, hub: _Hub, ledger: _Ledger) -> None:
    account = _account(tokens=100)
    await hub.counters.hold("living", None, Amounts(60), [account])
    async with _hub(redis_url, ledger) as dying:
        await dying.counters.hold("dead", None, Amounts(40), [account])
        dying.process.calls.clear()  # as its end: nothing is renewed, nothing given back

    async def is_let_in() -> bool:
        try:
            await hub.counters.hold("next", None, Amounts(40), [account])
        except OverBudget:
            return False
        return True

    assert not await is_let_in()
    for _ in range(200):
        if await is_let_in():
            break
        await asyncio.sleep(0.02)
    assert sorted(_state(redis_url, account)[1]) == ["living 60 0", "next 40 0"]


async def test_a_redis_that_lost_everything_is_filled_from_the_ledger_and_knows_again_what_runs(
    redis_url: str, ledger: _Ledger
) -> None:
    account = _account(tokens=100)
    async with _hub(redis_url, ledger) as first, _hub(redis_url, ledger) as second:
        await first.spend(Amounts(30), account, "done")
        await first.counters.hold("running", None, Amounts(40), [account])
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
        with pytest.raises(OverBudget) as caught:
            await second.counters.hold("next", None, Amounts(31), [account])
        assert (caught.value.settled, caught.value.held) == (30, 40)
        await second.counters.hold("next", None, Amounts(30), [account])
        assert ledger.lookups == 2


async def test_a_call_that_the_ledger_has_and_that_settles_after_the_filling_counts_once(
    redis_url: str, hub: _Hub, ledger: _Ledger
) -> None:
    account = _account(tokens=100)
    await hub.counters.hold("a", None, Amounts(40), [account])
    with redis.Redis.from_url(redis_url) as client:
        client.delete(account.key)
    ledger.calls["a"] = Amounts(40)
    await hub.counters.hold("b", None, Amounts(10), [account])
    hub.counters.settle("a", Amounts(40), Amounts(40), [account])
    await hub.counters.drain(within_s=5)
    assert _state(redis_url, account) == ({"tokens": 40, "nano": 0}, ["b 10 0"])


@pytest.mark.parametrize("recorded_in_time", [True, False], ids=["the look saw it", "the look came too early"])
async def test_a_call_that_settles_during_the_filling_counts_once(
    redis_url: str, hub: _Hub, ledger: _Ledger, recorded_in_time: bool
) -> None:
    account = _account(tokens=100)
    await hub.counters.hold("a", None, Amounts(40), [account])
    with redis.Redis.from_url(redis_url) as client:
        client.delete(account.key)
    ledger.open.clear()
    if recorded_in_time:
        ledger.calls["a"] = Amounts(40)
    filling = asyncio.create_task(hub.counters.hold("b", None, Amounts(10), [account]))
    await until(lambda: ledger.lookups == 2)
    ledger.calls["a"] = Amounts(40)
    hub.counters.settle("a", Amounts(40), Amounts(40), [account])
    await hub.counters.drain(within_s=5)
    ledger.open.set()
    await filling
    assert _state(redis_url, account) == ({"tokens": 40, "nano": 0}, ["b 10 0"])


async def test_a_ledger_out_of_reach_refuses_the_call_and_the_next_one_looks_again(hub: _Hub, ledger: _Ledger) -> None:
    account = _account(tokens=100)
    ledger.fails = True
    with pytest.raises(ServiceUnavailable):
        await hub.counters.hold("a", None, _TEN, [account])
    ledger.fails = False
    await asyncio.wait_for(hub.counters.hold("a", None, _TEN, [account]), 2)


async def test_a_filling_whose_process_died_is_taken_over(redis_url: str, hub: _Hub, ledger: _Ledger) -> None:
    account = _account(tokens=100)
    async with _hub(redis_url, ledger) as doomed:
        ledger.open.clear()
        filling = asyncio.create_task(doomed.counters.hold("a", None, _TEN, [account]))
        await until(lambda: ledger.lookups == 1)
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(budget_filling(account.key)) == doomed.process.id.encode()
    ledger.open = asyncio.Event()
    ledger.open.set()
    await asyncio.wait_for(hub.counters.hold("b", None, _TEN, [account]), 3)
    assert ledger.lookups == 2
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)


async def test_after_a_death_what_is_counted_is_what_the_ledger_says(hub: _Hub, ledger: _Ledger) -> None:
    begins, ends = BudgetPeriod.DAY.around(datetime.now(UTC))
    account = Account("client:987654", "client c", "day", begins, ends, tokens=100, nano=None, client_id=987654)
    await hub.spend(_TEN, account, "settled")
    ledger.calls["on record, not settled"] = Amounts(60)
    hub.counters.recount(client_id=987654, workspace="w")
    with pytest.raises(OverBudget) as caught:
        await hub.counters.hold("next", None, Amounts(31), [account])
    assert caught.value.settled == 70


async def test_while_redis_is_away_calls_are_refused_and_what_they_came_to_is_counted_once_it_is_back(
    ledger: _Ledger,
) -> None:
    account = _account(tokens=100)
    with own_valkey() as valkey:
        async with _hub(valkey.url, ledger) as hub:
            await hub.spend(Amounts(20), account, "before")
            await hub.counters.hold("during", None, Amounts(50), [account])
            await asyncio.to_thread(valkey.kill)
            ledger.calls["during"] = Amounts(30)
            hub.counters.settle("during", Amounts(50), Amounts(30), [account])
            with pytest.raises(ServiceUnavailable) as caught:
                await hub.counters.hold("next", None, _TEN, [account])
            assert caught.value.details["retryable"]
            await asyncio.to_thread(valkey.start_again)
            await hub.counters.drain(within_s=10)
            with pytest.raises(OverBudget) as over:
                await hub.counters.hold("next", None, Amounts(51), [account])
            assert (over.value.settled, over.value.held) == (50, 0)


async def test_a_settling_whose_reply_got_lost_counts_once(ledger: _Ledger) -> None:
    account = _account(tokens=100)
    with own_valkey() as valkey:
        async with _hub(valkey.url, ledger, lease_s=8) as hub:
            await hub.counters.hold("a", None, Amounts(50), [account])
            await asyncio.to_thread(valkey.freeze)
            try:
                ledger.calls["a"] = Amounts(30)
                hub.counters.settle("a", Amounts(50), Amounts(30), [account])
                await until(lambda: hub.link.away)
            finally:
                # It runs now what it had been sent, and the hub cannot know.
                await asyncio.to_thread(valkey.thaw)
            await hub.counters.drain(within_s=10)
            with pytest.raises(OverBudget) as over:
                await hub.counters.hold("next", None, Amounts(71), [account])
            assert (over.value.settled, over.value.held) == (30, 0)

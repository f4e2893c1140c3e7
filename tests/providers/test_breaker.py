"""What opens a breaker, what passes it by, and how it closes again; here of one process alone."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from exai.protocol.errors import ContentTooLarge, ErrorCode, HubError, OverCapacity, ServiceUnavailable
from exai.providers.base import TextDelta
from exai.providers.breaker import BreakerRules, Guarded, Outcome
from exai.providers.local_breakers import LocalBreakers
from tests.providers.asking import answer, failure, question
from tests.providers.scripted import ANSWER, SILENCE, Scripted, Step, status, unreachable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> LocalBreakers:
    return LocalBreakers(BreakerRules(), clock=clock)


async def told(breakers: LocalBreakers, *failed: bool) -> None:
    for has_failed in failed:
        breakers.leave("vendor", await breakers.enter("vendor"), Outcome.FAILED if has_failed else Outcome.SUCCEEDED)


async def open_one(breakers: LocalBreakers) -> None:
    await told(breakers, *[True] * 5)
    assert breakers.standing("vendor").state == "open"


async def test_five_failures_in_a_row_open_it(breakers: LocalBreakers) -> None:
    guarded = Guarded(Scripted([unreachable()]), breakers)
    for _ in range(5):
        assert (await failure(guarded, question("model"))).code == ErrorCode.PROVIDER_ERROR
    refused = await failure(guarded, question("model"))
    assert isinstance(refused, ServiceUnavailable)
    assert "vendor" in refused.message
    assert refused.details == {"retryable": True, "provider": "vendor", "retry_after": 30, "reason": "breaker_open"}


async def test_an_open_one_does_not_ask_the_provider(breakers: LocalBreakers) -> None:
    vendor = Scripted()
    await open_one(breakers)
    await failure(Guarded(vendor, breakers), question("model"))
    assert vendor.requests == []


async def test_a_success_in_between_starts_the_row_anew(breakers: LocalBreakers) -> None:
    await told(breakers, *[True, True, True, True, False] * 3)
    assert breakers.standing("vendor").state == "closed"


async def test_more_than_half_of_twenty_calls_within_a_minute_open_it(breakers: LocalBreakers, clock: Clock) -> None:
    await told(breakers, *[True, False] * 10)
    assert breakers.standing("vendor").state == "closed"
    clock.now += 61
    await told(breakers, *[False, True, True] * 6, True)  # 13 of 19: too few calls
    assert breakers.standing("vendor").state == "closed"
    await told(breakers, True)
    assert breakers.standing("vendor").state == "open"


async def test_calls_that_are_older_than_a_minute_do_not_count(breakers: LocalBreakers, clock: Clock) -> None:
    for failed in [False, True, True] * 10:
        await told(breakers, failed)
        clock.now += 4
    assert breakers.standing("vendor").state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        status(400, retryable=False),
        status(401, retryable=False),
        status(429, retry_after=1),
        ContentTooLarge("too long"),
        OverCapacity("all places are taken"),
    ],
    ids=lambda error: str(error),
)
async def test_what_is_not_the_provider_s_fault_does_not_count(breakers: LocalBreakers, error: HubError) -> None:
    guarded = Guarded(Scripted([error]), breakers)
    for _ in range(10):
        await failure(guarded, question("model"))
    assert breakers.standing("vendor").state == "closed"


@pytest.mark.parametrize("code", [408, 429, 500, 503])
async def test_what_is_the_provider_s_fault_counts(breakers: LocalBreakers, code: int) -> None:
    guarded = Guarded(Scripted([TextDelta("good "), status(code)]), breakers)
    for _ in range(5):
        await failure(guarded, question("model"))
    assert breakers.standing("vendor").state == "open"


async def test_a_cancel_does_not_count(breakers: LocalBreakers) -> None:
    guarded = Guarded(Scripted([TextDelta("good "), SILENCE]), breakers)
    for _ in range(10):
        async with aclosing(guarded.ask(question("model"))) as events:
            await anext(events)
    assert breakers.standing("vendor").state == "closed"


async def test_after_thirty_seconds_one_call_is_let_through_and_closes_it(
    breakers: LocalBreakers, clock: Clock
) -> None:
    await open_one(breakers)
    clock.now += 29.9
    with pytest.raises(ServiceUnavailable):
        await breakers.enter("vendor")
    clock.now += 0.2
    assert breakers.standing("vendor").state == "half-open"
    trial = await breakers.enter("vendor")
    assert trial
    with pytest.raises(ServiceUnavailable):
        await breakers.enter("vendor")
    breakers.leave("vendor", trial, Outcome.SUCCEEDED)
    assert await breakers.enter("vendor") == ""
    assert breakers.standing("vendor").state == "closed"


@pytest.mark.parametrize(
    ("script", "state"),
    [(ANSWER, "closed"), ([unreachable()], "open"), ([status(400, retryable=False)], "half-open")],
    ids=["answers", "fails", "refuses"],
)
async def test_the_outcome_of_the_trial_decides(
    breakers: LocalBreakers, clock: Clock, script: list[Step], state: str
) -> None:
    await open_one(breakers)
    clock.now += 31
    guarded = Guarded(Scripted(script), breakers)
    with suppress(HubError):
        await answer(guarded, question("model"))
    assert breakers.standing("vendor").state == state


async def test_the_first_word_of_the_trial_lets_the_others_in(breakers: LocalBreakers, clock: Clock) -> None:
    await open_one(breakers)
    clock.now += 31
    guarded = Guarded(Scripted([TextDelta("good "), SILENCE]), breakers)
    async with aclosing(guarded.ask(question("model"))) as events:
        await anext(events)
        assert await breakers.enter("vendor") == ""


async def test_a_trial_that_is_cancelled_leaves_the_next_one_to_another(breakers: LocalBreakers, clock: Clock) -> None:
    await open_one(breakers)
    clock.now += 31
    vendor = Scripted([SILENCE])
    asking = asyncio.create_task(answer(Guarded(vendor, breakers), question("model")))
    await vendor.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await breakers.enter("vendor")


async def test_a_trial_that_never_ends_is_given_up(breakers: LocalBreakers, clock: Clock) -> None:
    await open_one(breakers)
    clock.now += 31
    old = await breakers.enter("vendor")
    clock.now += 66
    new = await breakers.enter("vendor")
    assert new
    assert new != old
    breakers.leave("vendor", old, Outcome.SUCCEEDED)
    assert breakers.standing("vendor").state == "half-open"


async def test_each_provider_has_its_own(breakers: LocalBreakers) -> None:
    await open_one(breakers)
    assert await breakers.enter("another") == ""


async def test_a_reset_closes_it(breakers: LocalBreakers) -> None:
    await open_one(breakers)
    breakers.reset("vendor")
    await told(breakers, True, True, True, True)
    assert breakers.standing("vendor").state == "closed"


async def test_breakers_that_are_off_never_open(clock: Clock) -> None:
    breakers = LocalBreakers(BreakerRules(open_s=0), clock=clock)
    await told(breakers, *[True] * 50)
    assert breakers.standing("vendor").state == "closed"

"""What is asked again, how often, and when."""

import asyncio
from contextlib import aclosing

import pytest

from exai.protocol.errors import ContentTooLarge, HubError, OverCapacity, ProviderFailed, ServiceUnavailable
from exai.providers.base import Finished, ReasoningDelta, TextDelta
from exai.providers.retry import Retrying, RetryPolicy
from tests.providers.asking import Endpoints, answer, failure, question
from tests.providers.scripted import ANSWER, Scripted, status, unreachable
from tests.upstream import Upstream

SOON = RetryPolicy(first_pause_s=0.01)


def retrying(provider: Scripted, policy: RetryPolicy = SOON, jitter: float = 0.5) -> Retrying:
    return Retrying(provider, policy, jitter=lambda: jitter)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
async def test_a_passing_failure_is_asked_again(code: int) -> None:
    vendor, request = Scripted([status(code)], ANSWER), question("model")
    assert (await answer(retrying(vendor), request)).text == "good morning"
    assert (len(vendor.requests), request.effort.attempts) == (2, 2)


async def test_a_lost_connection_is_asked_again_at_most_twice() -> None:
    vendor = Scripted([unreachable()])
    assert (await failure(retrying(vendor), question("model"))).message == "vendor cannot be reached."
    assert len(vendor.requests) == 3


@pytest.mark.parametrize(
    "final",
    [
        status(400, retryable=False),
        status(401, retryable=False),
        ContentTooLarge("too long"),
        OverCapacity("all places are taken"),
        ServiceUnavailable("left alone"),
        # Whole, but no answer: it is billed, and may be the same the next time.
        ProviderFailed("vendor answered without any text.", provider="vendor", retryable=True),
    ],
    ids=lambda error: str(error),
)
async def test_what_another_attempt_would_not_change_is_not_asked_again(final: HubError) -> None:
    vendor = Scripted([final])
    assert await failure(retrying(vendor), question("model")) is final
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("first", [TextDelta("good "), ReasoningDelta("hm")])
async def test_nothing_is_asked_again_after_its_first_word(first: TextDelta | ReasoningDelta) -> None:
    vendor = Scripted([first, unreachable()])
    await failure(retrying(vendor), question("model"))
    assert len(vendor.requests) == 1


async def test_pauses_double_and_vary_by_half() -> None:
    for jitter, pauses in ((0.0, (0.02, 0.04)), (1.0, (0.06, 0.12))):
        vendor = Scripted([unreachable()])
        await failure(retrying(vendor, RetryPolicy(first_pause_s=0.04), jitter), question("model"))
        first, second, third = vendor.times
        assert pauses[0] <= second - first + 0.002
        assert pauses[1] <= third - second + 0.002


async def test_a_vendor_s_retry_after_is_waited_for() -> None:
    vendor = Scripted([status(429, retry_after=0.1)], ANSWER)
    await answer(retrying(vendor), question("model"))
    assert vendor.times[1] - vendor.times[0] >= 0.1


async def test_a_retry_after_that_is_too_long_is_not_waited_for() -> None:
    vendor = Scripted([status(429, retry_after=31)])
    failed = await failure(retrying(vendor), question("model"))
    assert failed.details["retry_after"] == 31
    assert len(vendor.requests) == 1


async def test_no_attempt_begins_past_the_deadline() -> None:
    vendor, request = Scripted([status(429, retry_after=5)]), question("model")
    request = type(request)(request.model, request.messages, timeout_s=4)
    await failure(retrying(vendor), request)
    assert len(vendor.requests) == 1


async def test_a_vendor_that_was_silent_for_all_its_patience_is_not_waited_for_anew() -> None:
    vendor = Scripted([0.05, unreachable()])
    await failure(retrying(vendor, RetryPolicy(first_pause_s=0.001, patience_s=0.04)), question("model"))
    assert len(vendor.requests) == 1


async def test_nothing_is_asked_again_while_it_is_not_worthwhile() -> None:
    vendor = Scripted([unreachable()])
    await failure(Retrying(vendor, SOON, worthwhile=lambda: False), question("model"))
    assert len(vendor.requests) == 1


async def test_a_cancel_during_the_pause_ends_it() -> None:
    vendor = Scripted([status(503)])
    asking = asyncio.create_task(answer(retrying(vendor, RetryPolicy(first_pause_s=20)), question("model")))
    await vendor.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(vendor.requests) == 1


async def test_closing_the_answer_closes_the_attempt() -> None:
    vendor = Scripted()
    async with aclosing(retrying(vendor).ask(question("model"))) as events:
        assert not isinstance(await anext(events), Finished)
        assert vendor.closed == 0
    assert vendor.closed == 1


async def test_a_real_vendor_that_fails_twice_is_asked_thrice(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, status=503, first_failures=2, text="At last.")
    assert (await answer(Retrying(endpoints.make(), SOON), question(model))).text == "At last."
    assert len(upstream.requests(model)) == 3


async def test_a_connection_that_breaks_before_the_first_word_is_asked_again(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, break_after_chunks=0, reset=True)
    await failure(Retrying(endpoints.make(), SOON), question(model))
    assert len(upstream.requests(model)) == 3

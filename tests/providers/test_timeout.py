"""The time of an answer is bounded, however it is spent, and nobody else's cancel is taken for its end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from exai.protocol.errors import CallTimeout
from exai.providers.base import AnswerEvent, ChatMessage, ModelRequest, TextDelta
from exai.providers.timeout import TimeLimited
from tests.providers.asking import Endpoints, answer, failure
from tests.providers.scripted import ANSWER, SILENCE, Scripted, Step
from tests.upstream import Upstream


def within(seconds: float | None, model: str = "model") -> ModelRequest:
    return ModelRequest(model, (ChatMessage("user", "Good morning"),), timeout_s=seconds)


@pytest.mark.parametrize("script", [[SILENCE], [TextDelta("good "), SILENCE]], ids=["before", "between"])
async def test_silence_ends_with_the_time(script: list[Step]) -> None:
    vendor = Scripted(script)
    failed = await failure(TimeLimited(vendor), within(0.02))
    assert isinstance(failed, CallTimeout)
    assert failed.details["provider"] == "vendor"
    assert vendor.closed == 1


async def test_a_flow_of_words_ends_with_the_time() -> None:
    vendor = Scripted([TextDelta("on "), 0.005] * 1000)
    assert isinstance(await failure(TimeLimited(vendor), within(0.05)), CallTimeout)
    assert vendor.closed == 1


@pytest.mark.parametrize("seconds", [None, 5.0])
async def test_an_answer_in_time_is_passed_on(seconds: float | None) -> None:
    assert (await answer(TimeLimited(Scripted()), within(seconds))).text == "good morning"


async def test_a_reader_s_own_time_is_not_cut_short_but_the_next_word_is() -> None:
    async with aclosing(TimeLimited(Scripted()).ask(within(0.02))) as events:
        assert await anext(events) == ANSWER[0]
        await asyncio.sleep(0.05)
        with pytest.raises(CallTimeout):
            await anext(events)


async def test_the_time_stands_still_while_the_provider_has_no_place() -> None:
    told: list[str] = []

    class Waiting(Scripted):
        async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
            assert request.asker is not None
            async with request.asker.waiting("for a place"):
                await asyncio.sleep(0.08)
            async for event in super().ask(request):
                yield event

    class Patient:
        session = "mine"

        @asynccontextmanager
        async def waiting(self, reason: str) -> AsyncIterator[None]:
            told.append(reason)
            yield

    for asker in (Patient(), None):
        request = ModelRequest("model", (), timeout_s=0.04, asker=asker)
        assert (await answer(TimeLimited(Waiting()), request)).text == "good morning"
        assert isinstance(await failure(TimeLimited(Waiting([SILENCE])), request), CallTimeout)
    assert told == ["for a place"] * 2


async def test_a_cancel_by_somebody_else_is_a_cancel() -> None:
    vendor = Scripted([SILENCE])
    asking = asyncio.create_task(answer(TimeLimited(vendor), within(60)))
    await vendor.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert vendor.closed == 1


async def test_an_outer_timeout_that_strikes_first_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await answer(TimeLimited(Scripted([SILENCE])), within(60))


async def test_the_task_goes_on_uncancelled_after_it() -> None:
    await failure(TimeLimited(Scripted([SILENCE])), within(0.01))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_the_connection_to_the_vendor_is_closed(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, delay_s=60)
    assert isinstance(await failure(TimeLimited(endpoints.make()), within(0.2, model)), CallTimeout)
    await asyncio.to_thread(upstream.wait_for_disconnect, model)

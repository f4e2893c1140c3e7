"""Another model answers for one that fails: once, before its first word, and with its name on the answer."""

import pytest

from exai.protocol.errors import (
    CallTimeout,
    ContentTooLarge,
    HubError,
    OverCapacity,
    ProviderFailed,
    ServiceUnavailable,
)
from exai.providers.base import AnswerEvent, ModelInfo, ModelRequest, ReasoningDelta, TextDelta
from exai.providers.fallback import Fallback
from exai.providers.registry import ServedModel
from tests.providers.asking import question
from tests.providers.scripted import ANSWER, Scripted, Step, status, unreachable

INFO = ModelInfo("model", 8000)


async def asked(first: Scripted, other: Scripted) -> tuple[list[AnswerEvent], list[str]]:
    """The events, and what was switched for."""
    failures: list[str] = []

    async def switch(served: ServedModel, failure: HubError) -> ModelRequest:
        assert served.provider is other
        failures.append(failure.message)
        return question("other")

    fallback = Fallback(ServedModel(first, INFO), question("first"), ServedModel(other, INFO), switch)
    return [event async for event in fallback.ask()], failures


@pytest.mark.parametrize(
    "error",
    [
        unreachable(),
        status(503),
        status(429),
        status(401, retryable=False),
        status(404, retryable=False),
        ServiceUnavailable("left alone"),
        OverCapacity("all places are taken"),
    ],
    ids=lambda error: str(error),
)
async def test_another_provider_answers_for_one_that_cannot(error: HubError) -> None:
    events, failures = await asked(Scripted([error]), other := Scripted(name="other"))
    assert tuple(events) == ANSWER
    assert failures == [error.message]
    assert [request.model for request in other.requests] == ["other"]


@pytest.mark.parametrize(
    "error",
    [
        status(400, retryable=False),
        ProviderFailed("vendor refused the content.", provider="vendor", retryable=False),
        ContentTooLarge("too long"),
        CallTimeout("no time is left"),
    ],
    ids=lambda error: str(error),
)
async def test_a_refusal_is_not_carried_from_vendor_to_vendor(error: HubError) -> None:
    other = Scripted(name="other")
    with pytest.raises(HubError) as caught:
        await asked(Scripted([error]), other)
    assert caught.value is error
    assert other.requests == []


@pytest.mark.parametrize("first", [TextDelta("good "), ReasoningDelta("hm")])
async def test_nobody_else_goes_on_with_an_answer_that_began(first: Step) -> None:
    other = Scripted(name="other")
    with pytest.raises(ProviderFailed):
        await asked(Scripted([first, unreachable()]), other)
    assert other.requests == []


async def test_the_second_failure_is_final_and_tells_of_the_first() -> None:
    with pytest.raises(ProviderFailed) as caught:
        await asked(Scripted([unreachable()]), Scripted([status(500)], name="other"))
    assert caught.value.details["status"] == 500
    assert caught.value.details["fallback_from"] == "vendor/model"
    assert caught.value.details["fallback_reason"] == "vendor cannot be reached."


@pytest.mark.parametrize(
    ("error", "helps"), [(status(503), True), (unreachable(), False), (OverCapacity("full"), False)]
)
async def test_a_sibling_is_asked_only_where_the_model_failed_and_not_its_provider(
    error: HubError, helps: bool
) -> None:
    provider = Scripted([error], ANSWER)
    if helps:
        assert tuple((await asked(provider, provider))[0]) == ANSWER
    else:
        with pytest.raises(type(error)):
            await asked(provider, provider)
    assert len(provider.requests) == 1 + helps

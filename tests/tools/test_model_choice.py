"""chat with more than one vendor: which model answers is always said, and never silently another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exai.protocol.errors import ProviderFailed
from exai.protocol.values import Turn
from exai.providers.base import ModelInfo
from exai.providers.budget import Budget, Charge, Reservation, Spending, estimate_input
from exai.providers.registry import Registry
from exai.providers.routes import Routes
from exai.tools.base import ToolAnswer
from tests.providers.scripted import Scripted, status, unreachable
from tests.tools.running import Run

ROUTES = Routes(fast=("first", "second"))


def vendors(*first_script: Any) -> tuple[Scripted, Scripted]:
    return (
        Scripted(*first_script, name="one", models=[ModelInfo("first", 100_000)]),
        Scripted(name="two", models=[ModelInfo("second", 1000)]),
    )


async def chat(*providers: Scripted, turns: tuple[Turn, ...] = (), **arguments: Any) -> tuple[Run, ToolAnswer]:
    run = Run(Registry(providers, routes=ROUTES), turns=turns)
    return run, await run("chat", prompt="hi", **arguments)


async def test_a_fallback_is_announced_with_its_reason() -> None:
    run, answer = await chat(*vendors([unreachable()]))
    assert (answer.model, answer.provider, answer.content) == ("second", "two", "good morning")
    assert answer.metadata == {
        "finish_reason": "stop",
        "why": "route fast: first healthy of first, second",
        "fallback_from": "one/first",
        "fallback_reason": "vendor cannot be reached.",
    }
    assert run.stages == ["Calling first", "Calling second"]


async def test_the_other_model_is_sent_as_much_as_fits_it() -> None:
    turns = (Turn("old?", "x" * 3000), Turn("new?", "new"))
    one, two = vendors([status(503)])
    _, answer = await chat(one, two, turns=turns)
    sent = [[message.content for message in provider.requests[0].messages[1:]] for provider in (one, two)]
    assert sent == [["old?", "x" * 3000, "new?", "new", "hi"], ["new?", "new", "hi"]]
    assert answer.metadata["turns_left_out"] == 1


async def test_what_is_reserved_bounds_also_what_the_other_model_is_sent() -> None:
    turns = (Turn("old?", "x" * 30_000), Turn("new?", "new"))
    small = Scripted([status(503)], name="one", models=[ModelInfo("first", 1000, output=100)])
    large = Scripted(name="two", models=[ModelInfo("second", 100_000, output=100)])
    run = Run(Registry([small, large], routes=ROUTES), turns=turns)
    reserved: list[Charge] = []

    class Kept:
        @asynccontextmanager
        async def reserve(self, most: Charge, *, model: str) -> AsyncIterator[Reservation]:
            reserved.append(most)
            yield self

        def settle(self, used: Charge) -> None:
            pass

    async def find() -> Budget:
        return Kept()

    context = run.context()
    context.spending = Spending(find)
    await context.ask(system="s", prompt="hi")
    [sent] = large.requests
    assert len(sent.messages) == 6
    assert [most.tokens for most in reserved] == [estimate_input(sent) + 100]


async def test_a_named_model_that_fails_fails_the_call() -> None:
    one, two = vendors([unreachable()])
    with pytest.raises(ProviderFailed):
        await chat(one, two, model="first")
    assert two.requests == []


async def test_a_named_model_may_fall_back_when_the_caller_allows_it() -> None:
    _, answer = await chat(*vendors([unreachable()]), model="first", allow_fallback=True)
    assert (answer.model, answer.metadata["why"]) == ("second", "named by the caller")
    assert answer.metadata["fallback_from"] == "one/first"


async def test_auto_does_not_fall_back_when_the_caller_forbids_it() -> None:
    with pytest.raises(ProviderFailed):
        await chat(*vendors([unreachable()]), allow_fallback=False)


async def test_the_context_tells_who_answered_in_the_end() -> None:
    context = Run(Registry(vendors([unreachable()]), routes=ROUTES)).context()
    await context.ask(system="s", prompt="p")
    assert (context.provider_name, context.model_name) == ("two", "second")


class Limit:
    def left_for(self, factor: float) -> float:
        return 10 * factor


async def test_a_request_has_the_time_that_its_model_may_take() -> None:
    slow = Scripted(models=[ModelInfo("slow", 8000, timeout_factor=3)])
    context = Run(Registry([slow])).context(Limit())
    await context.ask(system="s", prompt="p")
    assert [request.timeout_s for request in slow.requests] == [30]

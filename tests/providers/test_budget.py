"""What a model request may come to, and what it came to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from exai.protocol.errors import ProviderFailed
from exai.protocol.values import Usage
from exai.providers.base import ChatMessage, Effort, FunctionCall, FunctionTool, ModelInfo, ModelRequest, Price
from exai.providers.budget import (
    MOST_OUTPUT_TOKENS,
    SEVERAL,
    TOKENS_PER_IMAGE,
    Budget,
    Charge,
    Spending,
    bounded,
    estimate_input,
)

_REQUEST = ModelRequest("m", (ChatMessage("user", "x" * 400),))  # 101 tokens, and four for the message
_CHEAP = ModelInfo("m", 100_000, output=1000, price=Price(input=1, output=2, cached=0.1))
_DEAR = ModelInfo("n", 100_000, output=500, price=Price(input=10, output=20))


class _Kept:
    """A budget that allows everything and keeps what it is told."""

    def __init__(self) -> None:
        self.reserved: list[Charge] = []
        self.settled: list[Charge] = []

    @asynccontextmanager
    async def reserve(self, most: Charge, *, model: str) -> AsyncIterator["_Kept"]:
        self.reserved.append(most)
        yield self

    def settle(self, used: Charge) -> None:
        self.settled.append(used)

    async def find(self) -> Budget | None:
        return self


class _Ledger:
    """Whoever looks first has to wait for what everybody then uses."""

    def __init__(self) -> None:
        self.budgets: list[_Kept] = []

    async def find(self) -> Budget | None:
        if not self.budgets:
            await asyncio.sleep(0)
            self.budgets.append(_Kept())
        return self.budgets[0]


def test_the_bound_is_the_input_and_the_most_output_at_the_price_of_uncached_tokens() -> None:
    request, most = bounded(_REQUEST, [_CHEAP])
    assert request == _REQUEST
    assert most == Charge(1105, Decimal("0.002105"))


def test_the_dearest_candidate_and_the_longest_answer_count() -> None:
    assert bounded(_REQUEST, [_CHEAP, _DEAR])[1] == Charge(1105, Decimal("0.02105"))


def test_what_the_caller_asks_for_at_most_is_the_bound() -> None:
    assert bounded(replace(_REQUEST, max_output_tokens=95), [_CHEAP])[1].tokens == 200


@pytest.mark.parametrize(("context", "most_output"), [(100_000, MOST_OUTPUT_TOKENS), (8000, 2000)])
def test_a_model_without_a_limit_gets_one_that_is_sent_along(context: int, most_output: int) -> None:
    request, most = bounded(_REQUEST, [ModelInfo("o", context)])
    assert request.max_output_tokens == most_output
    assert most.tokens == 105 + most_output


def test_no_candidate_is_asked_for_more_than_its_own_limit() -> None:
    assert bounded(_REQUEST, [_CHEAP, ModelInfo("o", 100_000)])[0].max_output_tokens == 1000


def test_one_unknown_price_makes_the_cost_unknown_and_a_free_model_costs_nothing() -> None:
    free = ModelInfo("free", 100_000, output=100, price=Price(input=0, output=0))
    assert bounded(_REQUEST, [_CHEAP, ModelInfo("o", 100_000, output=5)])[1].cost is None
    assert bounded(_REQUEST, [free])[1].cost == 0


def test_images_and_tools_count_as_input() -> None:
    message = ChatMessage("user", "x" * 400, images=("data:,", "data:,"))
    with_images = bounded(replace(_REQUEST, messages=(message,)), [_CHEAP])[1].tokens
    assert with_images == 1105 + 2 * TOKENS_PER_IMAGE
    tools = (FunctionTool("look", "Looks " * 100, {"type": "object"}),)
    assert bounded(replace(_REQUEST, tools=tools), [_CHEAP])[1].tokens > 1105 + 150


async def _ask(
    spending: Spending,
    *,
    said: str = "",
    usage: Usage | None = None,
    fails: bool = False,
    model: ModelInfo = _CHEAP,
    request: ModelRequest = _REQUEST,
) -> None:
    text = [said] if said else []
    async with spending.of(request, [model], text, []) as asking:
        if fails:
            raise ProviderFailed("gone", provider="p", retryable=True)
        asking.usage = usage


@pytest.mark.parametrize(
    "longer",
    [
        {"tool_choice": {"type": "function", "function": {"name": "x" * 4000}}},
        {"messages": (ChatMessage("user", "x" * 400, answers="x" * 4000),)},
        {"messages": (ChatMessage("assistant", "x" * 400, calls=(FunctionCall("x" * 4000, "f", "{}"),)),)},
    ],
)
def test_whatever_a_caller_may_make_long_counts_as_input(longer: dict[str, Any]) -> None:
    assert estimate_input(replace(_REQUEST, **longer)) >= estimate_input(_REQUEST) + 1000


async def test_what_the_vendor_counted_is_used_and_what_exceeds_the_reservation_is_told() -> None:
    kept = _Kept()
    spending = Spending(kept.find)
    await _ask(spending, said="Hello", usage=Usage(input_tokens=205, output_tokens=1000))
    assert kept.settled == [Charge(1205, Decimal("0.002205"))]
    assert spending.excess == Charge(100, Decimal("0.0001"))
    assert spending.usage == Usage(input_tokens=205, output_tokens=1000)
    assert spending.estimated is None


async def test_an_answer_without_a_count_is_estimated() -> None:
    kept = _Kept()
    spending = Spending(kept.find)
    await _ask(spending, said="y" * 40, usage=Usage(input_tokens=100))
    # 11 tokens of text, and one for the reasoning that there is not.
    assert kept.settled == [Charge(112, Decimal("0.000124"))]
    assert spending.usage == Usage(input_tokens=100)
    assert spending.estimated == Charge(12, Decimal("0.000124"))


async def test_an_answer_that_breaks_off_after_it_began_is_estimated_also_without_a_budget() -> None:
    for kept in (_Kept(), None):
        spending = Spending(kept.find if kept else None)
        with pytest.raises(ProviderFailed):
            await _ask(spending, said="y" * 40, fails=True)
        assert spending.estimated == Charge(117, Decimal("0.000129"))
        assert spending.usage == Usage()
        if kept:
            assert kept.settled == [spending.estimated]


async def test_a_vendor_that_never_began_to_answer_has_billed_nothing() -> None:
    kept = _Kept()
    spending = Spending(kept.find)
    with pytest.raises(ProviderFailed):
        await _ask(spending, fails=True)
    assert kept.settled == [Charge(0, Decimal(0))]
    assert spending.estimated is None


async def test_what_a_vendor_counted_of_attempts_without_an_answer_is_used() -> None:
    kept = _Kept()
    spending = Spending(kept.find)
    lost = replace(_REQUEST, effort=Effort(unanswered=Usage(100, 50)))
    with pytest.raises(ProviderFailed):
        await _ask(spending, fails=True, request=lost)
    assert (spending.usage, spending.cost) == (Usage(100, 50), Decimal("0.0002"))
    await _ask(spending, said="x", usage=Usage(10, 5), request=lost)
    assert kept.settled == [Charge(150, Decimal("0.0002")), Charge(165, Decimal("0.00022"))]
    assert spending.estimated is None


async def test_of_an_answer_that_broke_off_the_vendor_may_have_counted_the_beginning() -> None:
    spending = Spending()
    lost = replace(_REQUEST, effort=Effort(unanswered=Usage(100, 1)))
    with pytest.raises(ProviderFailed):
        await _ask(spending, said="y" * 40, fails=True, request=lost)
    assert (spending.usage, spending.cost) == (Usage(100, 1), Decimal("0.000102"))
    assert spending.estimated == Charge(11, Decimal("0.000022"))


async def test_each_model_that_was_asked_costs_what_it_costs() -> None:
    kept = _Kept()
    spending = Spending(kept.find)
    first = replace(_REQUEST, effort=Effort(unanswered=Usage(100, 0)))
    async with spending.of(first, [_CHEAP, _DEAR], [], []) as asking:
        asking.hand_over(_DEAR, _REQUEST)
        asking.usage = Usage(200, 10)
    assert kept.settled == [Charge(310, Decimal("0.0023"))]
    assert (spending.usage, spending.cost) == (Usage(300, 10), Decimal("0.0023"))


async def test_the_requests_of_a_call_add_up() -> None:
    spending = Spending()
    for usage in (Usage(10, 20, None, 5), Usage(1, 2, 1)):
        await _ask(spending, said="x", usage=usage)
    assert spending.usage == Usage(11, 22, 1, 5)
    assert spending.cost == Decimal("0.0000541")


def test_a_call_that_asks_nobody_has_no_cost() -> None:
    assert (Spending().cost, Spending().price_version) == (None, "")


async def test_answers_of_several_models_add_up_and_no_one_price_explains_them() -> None:
    spending = Spending()
    await _ask(spending, said="x", usage=Usage(100, 100))
    assert spending.price_version == ""
    await _ask(spending, said="x", usage=Usage(100, 100), model=_DEAR)
    assert (spending.cost, spending.price_version) == (Decimal("0.0033"), SEVERAL)


async def test_an_answer_without_a_count_leaves_the_cost_of_the_others_known() -> None:
    for counted_first in (True, False):
        kept = _Kept()
        spending = Spending(kept.find)
        for usage in (Usage(100, 100), None) if counted_first else (None, Usage(100, 100)):
            await _ask(spending, said="y" * 40, usage=usage or Usage())
        assert spending.cost == Decimal("0.0003")
        assert spending.estimated is not None
        assert spending.estimated.cost is not None
        assert spending.cost + spending.estimated.cost == sum(used.cost for used in kept.settled if used.cost)
        assert spending.price_version == SEVERAL  # for the count that there is does not explain the cost


async def test_one_unknown_cost_makes_the_whole_unknown_for_good() -> None:
    spending = Spending()
    for price in (None, _DEAR.price, _DEAR.price):
        await _ask(spending, said="x", usage=Usage(100, 100), model=replace(_DEAR, price=price))
    assert spending.cost is None


async def test_requests_at_once_share_one_budget_and_each_is_settled() -> None:
    ledger = _Ledger()
    spending = Spending(ledger.find)
    usage = Usage(input_tokens=100, output_tokens=10)
    dear = replace(_REQUEST, model="n")
    await asyncio.gather(
        _ask(spending, said="a", usage=usage),
        _ask(spending, said="b", usage=usage, model=_DEAR, request=dear),
        _ask(spending, said="c", usage=usage),
    )
    [budget] = ledger.budgets
    assert [charge.tokens for charge in budget.settled] == [110, 110, 110]
    assert len(budget.reserved) == 3
    assert spending.usage == Usage(input_tokens=300, output_tokens=30)
    assert spending.cost == Decimal("0.00144")
    assert spending.price_version == SEVERAL

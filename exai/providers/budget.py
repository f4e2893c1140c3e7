"""The port by which model requests are held to a budget: reserved at the most that they may come to, settled after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, Self

import msgspec
from msgspec.structs import replace

from exai.protocol.values import Usage
from exai.providers.base import ModelInfo, ModelRequest
from exai.providers.prices import cost_of
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens

# Vendors tell what an image counts after the answer only; where one counts more, that is an excess.
TOKENS_PER_IMAGE = 2000
# Asked for where neither the caller nor the model bounds an answer; at most a quarter of the model's context.
MOST_OUTPUT_TOKENS = 8192
SEVERAL = "several"  # prices, so that no single one explains the cost


class Charge(msgspec.Struct, frozen=True):
    """`tokens`: input and output. `cost` in US dollars; None: the price is unknown."""

    tokens: int
    cost: Decimal | None


NOTHING = Charge(0, Decimal(0))
_NO_USAGE = Usage()


class Reservation(Protocol):
    def settle(self, used: Charge) -> None:
        """What the request came to. Nothing, when it is never said."""
        ...


class Budget(Protocol):
    """The budgets that bound one call."""

    def reserve(self, most: Charge, *, model: str) -> AbstractAsyncContextManager[Reservation]:
        """Raises `BudgetExceeded`, `InvalidValue` when the price is unknown but money is limited, and
        `ServiceUnavailable` while nobody knows what is left."""
        ...


FindBudget = Callable[[], Awaitable[Budget | None]]  # None: nothing bounds the call


class Spending:
    """What the requests of one call have used so far, several of them perhaps at once.

    `usage` is what vendors counted, also of attempts that came to no answer. `estimated` is what they did not count,
    by the length of what was sent and received: of an answer that broke off after it had begun, or came without a
    count. `excess` is what they counted beyond the reservations. `cost` in US dollars is that of what was counted
    whole; None when nothing was, or when the price of any model that was asked is not known. `price_version` names the
    price that it was computed by.
    """

    def __init__(self, find_budget: FindBudget | None = None) -> None:
        self.usage = _NO_USAGE
        self.cost: Decimal | None = None
        self.price_version = ""
        self.estimated: Charge | None = None
        self.excess = NOTHING
        self._find_budget = find_budget
        self._one_finds = asyncio.Lock()  # of requests that begin at once: the call has one budget
        self._paid_for: tuple[str, str] | None = None
        self._is_unpriced = False

    def of(
        self,
        request: ModelRequest,
        candidates: Sequence[ModelInfo],
        text: list[str],
        reasoning: list[str],
        more_input: Callable[[], int] = lambda: 0,
    ) -> "Asking":
        """To be held around one request, which any of `candidates` may answer; `text` and `reasoning` are what came of
        it. To be sent is the `request` of what it gives: it is bounded where there is a budget. `more_input`: the
        tokens that another candidate may be sent beyond it."""
        return Asking(self, request, candidates, text, reasoning, more_input)

    async def reserve(
        self, request: ModelRequest, candidates: Sequence[ModelInfo], more_input: Callable[[], int]
    ) -> "Reserved | None":
        """None: nothing bounds the call."""
        if self._find_budget is None:
            return None
        async with self._one_finds:
            budget = await self._find_budget()
        if budget is None:
            return None
        request, most = bounded(request, candidates, more_input())
        held = budget.reserve(most, model=request.model)
        return Reserved(request, most, held, await held.__aenter__())

    def add(self, asking: "Asking") -> Charge:
        """Everything that the request came to."""
        unanswered = asking.request.effort.unanswered
        if asking.usage is None and unanswered is None and not asking.has_begun:
            return NOTHING
        told = _sum(unanswered or _NO_USAGE, asking.usage or _NO_USAGE)
        self.usage = _sum(self.usage, told)
        counted = self._add_cost(asking.model, told)
        whole = asking.completed(told)
        if whole == told:
            return counted
        used = _charge(whole, asking.model)
        beyond = None if used.cost is None else used.cost - (counted.cost or 0)
        self.estimated = _plus(self.estimated or NOTHING, Charge(used.tokens - counted.tokens, beyond))
        return used

    def _add_cost(self, model: ModelInfo, told: Usage) -> Charge:
        counted, version = _charge(told, model), model.price.version if model.price else ""
        if model.price is None:
            self._is_unpriced = True
        is_first, known_before = self._paid_for is None, self.cost is not None
        if self._is_unpriced:
            self.cost = None
        elif counted.cost is not None:
            self.cost = counted.cost + (self.cost or 0)
        # What was not counted is estimated, and no reason to forget the cost of what was.
        if is_first:
            self.price_version = version
        elif self._paid_for != (model.id, version) or known_before != (counted.cost is not None):
            self.price_version = SEVERAL
        self._paid_for = model.id, version
        return counted


class Reserved(NamedTuple):
    request: ModelRequest
    most: Charge
    held: AbstractAsyncContextManager[Reservation]
    reservation: Reservation


class Asking:
    """One request under way. The asker fills in `usage` at the end, and says when another candidate takes over. A
    class, for a generator costs every call more."""

    def __init__(
        self,
        spending: Spending,
        request: ModelRequest,
        candidates: Sequence[ModelInfo],
        text: list[str],
        reasoning: list[str],
        more_input: Callable[[], int],
    ) -> None:
        self.request = request
        self.model = candidates[0]
        self.text = text
        self.reasoning = reasoning
        self.usage: Usage | None = None
        self._spending = spending
        self._candidates = candidates
        self._more_input = more_input
        self._reserved: Reserved | None = None
        self._used_before = NOTHING

    async def __aenter__(self) -> Self:
        self._reserved = await self._spending.reserve(self.request, self._candidates, self._more_input)
        if self._reserved is not None:
            self.request = self._reserved.request
        return self

    async def __aexit__(self, *raised: Any) -> None:
        used = _plus(self._used_before, self._spending.add(self))
        if self._reserved is not None:
            self._spending.excess = _plus(self._spending.excess, _beyond(used, self._reserved.most))
            self._reserved.reservation.settle(used)
            await self._reserved.held.__aexit__(*raised)

    def hand_over(self, model: ModelInfo, request: ModelRequest) -> ModelRequest:
        """Another candidate is asked instead: the request to send it, within what was reserved."""
        self._used_before = self._spending.add(self)
        self.model, self.request = model, replace(request, max_output_tokens=self.request.max_output_tokens)
        return self.request

    @property
    def has_begun(self) -> bool:
        """A vendor that never began to answer has not billed anything."""
        return bool(self.text or self.reasoning)

    def completed(self, told: Usage) -> Usage:
        """With estimates of what the vendor did not count. Of an answer that broke off it may have counted the
        beginning."""
        given, taken = told.input_tokens, told.output_tokens
        if taken is None or (self.usage is None and self.has_begun):
            taken = max(taken or 0, estimate_tokens("".join(self.reasoning)) + estimate_tokens("".join(self.text)))
        given = estimate_input(self.request) if given is None else given
        return replace(told, input_tokens=given, output_tokens=taken)


def bounded(request: ModelRequest, candidates: Sequence[ModelInfo], more_input: int = 0) -> tuple[ModelRequest, Charge]:
    """The request with a bound on its output, and the most that it may come to with the dearest of the candidates."""
    most_output = request.max_output_tokens
    if most_output is None:
        limits = [model.output for model in candidates if model.output is not None]
        if len(limits) == len(candidates):
            most_output = max(limits)
        else:
            # Vendors refuse to be asked for more than a model's limit.
            most_output = min(MOST_OUTPUT_TOKENS, *limits, *(max(1, model.context // 4) for model in candidates))
            request = replace(request, max_output_tokens=most_output)
    most_input = estimate_input(request) + more_input
    mosts = [_most(model, request, most_input, most_output) for model in candidates]
    costs = [most.cost for most in mosts if most.cost is not None]
    dearest = max(costs) if len(costs) == len(mosts) else None
    return request, Charge(max(most.tokens for most in mosts), dearest)


def _most(model: ModelInfo, request: ModelRequest, most_input: int, most_output: int) -> Charge:
    # What the later requests of a search hold beside the first one's, the earlier ones' short outputs leave room for.
    requests = model.search_requests if request.web_search and model.web_search else 1
    most = Usage(input_tokens=most_input * requests, output_tokens=most_output * requests)
    return _charge(most, replace(model, price=model.price and replace(model.price, cached=None)))


def estimate_input(request: ModelRequest) -> int:
    """Tokens of all that the request holds."""
    tokens = 0
    for message in request.messages:
        tokens += estimate_tokens(message.content) + TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE * len(message.images)
        for call in message.calls:
            tokens += estimate_tokens(call.id + call.name + call.arguments) + TOKENS_PER_MESSAGE
        tokens += sum(estimate_tokens(text) for text in (message.reasoning, message.answers) if text)
    for tool in request.tools:
        described = tool.name + tool.description + msgspec.json.encode(tool.parameters).decode()
        tokens += estimate_tokens(described) + TOKENS_PER_MESSAGE
    if request.tool_choice is not None:
        tokens += estimate_tokens(msgspec.json.encode(request.tool_choice).decode())
    return tokens


def _charge(usage: Usage, model: ModelInfo) -> Charge:
    return Charge((usage.input_tokens or 0) + (usage.output_tokens or 0), cost_of(usage, model.price))


def _plus(one: Charge, other: Charge) -> Charge:
    cost = None if one.cost is None or other.cost is None else one.cost + other.cost
    return Charge(one.tokens + other.tokens, cost)


def _beyond(used: Charge, most: Charge) -> Charge:
    cost = None if used.cost is None or most.cost is None else max(Decimal(0), used.cost - most.cost)
    return Charge(max(0, used.tokens - most.tokens), cost)


def _sum(one: Usage, other: Usage) -> Usage:
    if one is _NO_USAGE:
        return other

    def add(mine: int | None, theirs: int | None) -> int | None:
        return theirs if mine is None else mine if theirs is None else mine + theirs

    return Usage(
        input_tokens=add(one.input_tokens, other.input_tokens),
        output_tokens=add(one.output_tokens, other.output_tokens),
        cached_tokens=add(one.cached_tokens, other.cached_tokens),
        reasoning_tokens=add(one.reasoning_tokens, other.reasoning_tokens),
    )

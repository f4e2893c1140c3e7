"""Asks one model what a caller composed itself: messages, functions and all, without the conversation and its files."""

from contextlib import aclosing

import msgspec

from exai.protocol.errors import ContentTooLarge, InvalidValue
from exai.protocol.values import Usage
from exai.providers.base import FunctionCall, ModelRequest, Source
from exai.providers.budget import estimate_input
from exai.providers.choice import Wish, choose
from exai.providers.registry import AUTO, ServedModel
from exai.tools.context import ToolContext


class DirectAnswer(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    reasoning: str
    calls: tuple[FunctionCall, ...]
    sources: tuple[Source, ...]
    finish_reason: str
    usage: Usage
    model: str
    provider: str


def model_of(context: ToolContext, *, vendor: str, named: str, default: str = "") -> ServedModel:
    """The vendor's model of that name. With none, or `auto`: that of the conversation, where it is the vendor's, else
    the default, where it is still served, else the hub's choice among the vendor's. Raises `InvalidValue`."""
    context.vendors.check(vendor)
    if named.strip().lower() not in ("", AUTO):
        served = context.registry.find(f"{vendor}/{named.strip()}") or context.registry.find(named)
        if served is None:
            there_is = ", ".join(served.info.id for served in context.registry if served.provider.name == vendor)
            raise InvalidValue(
                f"There is no model {named[:200]!r}. This tool asks {vendor}: {there_is}.",
                model=f"unknown; one of {there_is}",
            )
        if served.provider.name != vendor:
            reason = f"is {served.provider.name}'s; this tool asks {vendor}"
            raise InvalidValue(f"The model {served.info.id} {reason} (see listmodels).", model=reason)
        return served
    before = context.registry.find(context.last_model) if context.last_model else None
    if before is not None and before.provider.name == vendor:
        return before
    known = context.registry.find(f"{vendor}/{default}") if default else None
    return known or choose(context.registry, Wish(vendor=vendor)).served


async def ask_directly(context: ToolContext, served: ServedModel, request: ModelRequest) -> DirectAnswer:
    """One request to that model, within the call's time and budgets. Raises `HubError`s."""
    info = served.info
    tokens = estimate_input(request)
    if tokens > info.context:
        raise ContentTooLarge(
            f"The messages have about {tokens} tokens; {info.id} takes {info.context}. Shorten them.",
            estimated_tokens=tokens,
            limit=info.context,
        )
    request = await context.on_behalf(request, served)
    text: list[str] = []
    reasoning: list[str] = []
    with context.busy:
        async with (
            context.spending.of(request, (info,), text, reasoning) as asking,
            aclosing(served.provider.ask(asking.request)) as events,
        ):
            finished = await context.listen(events, asking, text, reasoning)
    return DirectAnswer(
        text="".join(text),
        reasoning="".join(reasoning),
        calls=finished.calls,
        sources=finished.sources,
        finish_reason=finished.reason,
        usage=finished.usage,
        model=info.id,
        provider=served.provider.name,
    )

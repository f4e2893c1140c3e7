"""Which model answers: the one that the caller names, or the hub's choice, with the reason for it.

`auto`, in order: the conversation's model; a vendor tool's vendor; the route. A choice asks nobody: it goes by what
the breakers know.
"""

from collections.abc import Callable, Sequence

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from exai.providers.registry import AUTO, LONG_CONTEXT_TOKENS, Registry, ServedModel
from exai.providers.routes import RouteName

_MOST_NAMED = 5


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a question before its model is chosen.

    `model` as the caller named it. `last_model` answered the conversation's last turn: `provider/model`. `vendor`: the
    provider that a vendor's own tool asks. `tokens` are those of the question; `earlier_tokens` gives those of the
    conversation. `allow_fallback` None: only for what the hub chooses.
    """

    model: str | None = None
    last_model: str = ""
    vendor: str = ""
    route: RouteName = "fast"
    tokens: int = 0
    earlier_tokens: Callable[[], int] = lambda: 0
    images: bool = False
    allow_fallback: bool | None = None


class Choice(msgspec.Struct, frozen=True):
    """`why` in words for the caller. `other` may be asked when `served` fails; None: nobody may."""

    served: ServedModel
    why: str
    other: ServedModel | None = None

    @property
    def infos(self) -> tuple[ModelInfo, ...]:
        """Of the models that may answer."""
        return (self.served.info,) if self.other is None else (self.served.info, self.other.info)


def choose(registry: Registry, wish: Wish) -> Choice:
    """Raises `InvalidValue` for a model that there is not."""
    if wish.model is not None and wish.model.strip().lower() not in ("", AUTO):
        served = registry.named(wish.model)
        listed = _suitable(registry, wish)[1] if wish.allow_fallback else ()
        return Choice(served, "named by the caller", _other(registry, wish, served, listed))
    served_before = _of_conversation(registry, wish)
    if served_before is not None:
        _, listed = _suitable(registry, wish)
        # Who once named a model that is in no list may have had reasons, such as who gets to see the questions.
        allowed = served_before in listed if wish.allow_fallback is None else wish.allow_fallback
        other = _other(registry, wish, served_before, listed if allowed else ())
        return Choice(served_before, "the conversation's model", other)
    name, listed = _suitable(registry, wish)
    served, why = _first_healthy(registry, name, listed)
    return Choice(served, why, _other(registry, wish, served, () if wish.allow_fallback is False else listed))


def _of_conversation(registry: Registry, wish: Wish) -> ServedModel | None:
    # Where its provider is gone, whoever else serves the model is nearer than the hub's own choice.
    served = registry.find(wish.last_model) or registry.find(wish.last_model.partition("/")[2])
    if served is None or (wish.vendor and served.provider.name != wish.vendor):
        return None
    return None if wish.images and not served.info.vision else served


def _suitable(registry: Registry, wish: Wish) -> tuple[str, Sequence[ServedModel]]:
    """The list to choose from, with its name: without those that cannot take the question, unless none can."""
    if wish.vendor:
        name = f"vendor {wish.vendor}"
        listed = tuple(served for served in registry if served.provider.name == wish.vendor)
        if not listed:
            raise InvalidValue(
                f"{wish.vendor} is not configured, and this tool asks nobody else (see listmodels).",
                model=f"needs a model of {wish.vendor}",
            )
    else:
        route = _route_of(wish)
        name, listed = f"route {route}", registry.route(route)
    return name, [served for served in listed if _is_able(served, wish)] or listed


def _is_able(served: ServedModel, wish: Wish) -> bool:
    return served.info.context >= wish.tokens and (served.info.vision or not wish.images)


def _route_of(wish: Wish) -> RouteName:
    if wish.images:
        return "vision"
    if wish.tokens + wish.earlier_tokens() > LONG_CONTEXT_TOKENS:
        return "long"
    return wish.route


def _first_healthy(registry: Registry, name: str, listed: Sequence[ServedModel]) -> tuple[ServedModel, str]:
    named = ", ".join([served.info.id for served in listed[:_MOST_NAMED]] + ["…"] * (len(listed) > _MOST_NAMED))
    left_alone: dict[str, None] = {}
    for served in listed:
        if registry.is_healthy(served):
            why = f"{name}: first healthy of {named}"
            return served, f"{why} ({', '.join(left_alone)} left alone after failures)" if left_alone else why
        left_alone[served.provider.name] = None
    return listed[0], f"{name}: first of {named}, of which none is healthy"


def _other(registry: Registry, wish: Wish, served: ServedModel, listed: Sequence[ServedModel]) -> ServedModel | None:
    """The best of the list beside the one that is served: preferably of another provider, which fails by itself."""
    sibling = None
    for other in listed:
        if other == served or other.provider.is_test or not _is_able(other, wish) or not registry.is_healthy(other):
            continue
        if other.provider is not served.provider:
            return other
        sibling = sibling or other
    return sibling

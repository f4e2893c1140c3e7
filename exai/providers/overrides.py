"""The models of one provider: what is listed, what an operator says of them, and what the endpoint itself offers."""

from collections.abc import Iterable, Mapping

import msgspec

from exai.providers.base import ModelInfo, Price
from exai.providers.prices import with_version

DEFAULT_CONTEXT = 8192  # safe for a model of which nothing is known


class ModelOverride(msgspec.Struct, frozen=True):
    """What an operator says of a model; None: as it is listed. `enabled` False: it is not offered."""

    id: str
    enabled: bool = True
    context: int | None = None
    output: int | None = None
    vision: bool | None = None
    thinking: bool | None = None
    tools: bool | None = None
    web_search: bool | None = None
    aliases: tuple[str, ...] | None = None


_OVERRIDABLE = tuple(name for name in ModelOverride.__struct_fields__ if name not in ("id", "enabled"))


class OfferedModel(msgspec.Struct, frozen=True):
    """A model that an endpoint lists. `context` in tokens, where the endpoint says so."""

    id: str
    context: int | None = None


def models_of(
    *,
    listed: Iterable[ModelInfo],
    overrides: Iterable[ModelOverride] = (),
    prices: Mapping[str, Price] | None = None,
    offered: Iterable[OfferedModel] = (),
) -> tuple[ModelInfo, ...]:
    """In order of preference: the listed ones, those an operator added, and last the offered ones that nobody knows.

    `prices` by model id, of the operator; they win. Names are compared without case.
    """
    known = {info.id.lower(): info for info in listed}
    offers = {offer.id.lower(): offer for offer in offered}
    disabled = set()
    for override in overrides:
        name = override.id.lower()
        if not override.enabled:
            disabled.add(name)
            known.pop(name, None)
            continue
        known[name] = _overridden(known.get(name) or _unknown(override.id, offers.get(name), listed=True), override)
    taken = disabled | set(known) | {alias.lower() for info in known.values() for alias in info.aliases}
    found = [_unknown(offer.id, offer, listed=False) for name, offer in offers.items() if name not in taken]
    priced = {name.lower(): price for name, price in (prices or {}).items()}
    return tuple(_priced(info, priced.get(info.id.lower())) for info in (*known.values(), *found))


def _overridden(info: ModelInfo, override: ModelOverride) -> ModelInfo:
    values = {name: getattr(override, name) for name in _OVERRIDABLE}
    return msgspec.structs.replace(info, **{name: value for name, value in values.items() if value is not None})


def _unknown(model_id: str, offer: OfferedModel | None, *, listed: bool) -> ModelInfo:
    return ModelInfo(model_id, (offer and offer.context) or DEFAULT_CONTEXT, listed=listed)


def _priced(info: ModelInfo, price: Price | None) -> ModelInfo:
    price = price or info.price
    return info if price is None else msgspec.structs.replace(info, price=with_version(price))

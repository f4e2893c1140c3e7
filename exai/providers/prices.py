"""What an answer costs: the one formula, in US dollars."""

from decimal import Decimal
from functools import lru_cache

import msgspec

from exai.protocol.values import Usage
from exai.providers.base import Price

_MILLION = 1_000_000
_STORED = Decimal("0.00000001")  # as the column of a call's cost has it

FREE = Price(input=0, output=0, cached=0, version="free")


def cost_of(usage: Usage, price: Price | None) -> Decimal | None:
    """The cost of an answer, to eight decimals; None when the price or one of the counts is not known.

    Cached tokens are part of the input, and reasoning tokens part of the output, as vendors count them. Cached tokens
    that a vendor does not tell of count as other input.
    """
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    cached_rate = price.input if price.cached is None else price.cached
    # A float's shortest form is what somebody wrote: 0.6, not 0.59999999999999997.
    sum_of_rates = (
        _decimal(price.input) * (usage.input_tokens - cached)
        + _decimal(cached_rate) * cached
        + _decimal(price.output) * usage.output_tokens
    )
    return (sum_of_rates / _MILLION).quantize(_STORED)


def with_version(price: Price) -> Price:
    """With its figures as its version where nobody gave it one: records of calls say by which price they were paid."""
    if price.version:
        return price
    figures = (price.input, price.cached, price.output)
    return msgspec.structs.replace(price, version="/".join(f"{each:g}" for each in figures if each is not None))


@lru_cache(maxsize=1024)
def _decimal(rate: float) -> Decimal:
    return Decimal(str(rate))

"""What an answer costs."""

from decimal import Decimal

import pytest

from exai.protocol.values import Usage
from exai.providers.base import Price
from exai.providers.catalogue import load_catalogue
from exai.providers.prices import FREE, cost_of

PRICE = Price(input=0.6, output=2.5, cached=0.15, version="v")


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(1_000_000, 0), PRICE, "0.6"),
        (Usage(0, 1_000_000), PRICE, "2.5"),
        (Usage(1000, 100), PRICE, "0.00085"),
        # Cached tokens are part of the input, reasoning tokens part of the output.
        (Usage(1000, 100, cached_tokens=400), PRICE, "0.00067"),
        (Usage(1000, 100, reasoning_tokens=90), PRICE, "0.00085"),
        (Usage(1000, 0, cached_tokens=1000), PRICE, "0.00015"),
        (Usage(1000, 0, cached_tokens=5000), PRICE, "0.00015"),
        # Cached input without a price of its own costs what other input does.
        (Usage(1000, 0, cached_tokens=400), Price(input=1, output=1), "0.001"),
        # The smallest answer of the cheapest model does not vanish.
        (Usage(1, 0), Price(input=0.01, output=0), "0.00000001"),
        (Usage(1000, 1000), FREE, "0"),
        (Usage(2**31 - 1, 2**31 - 1), PRICE, "6657.1993057"),
    ],
)
def test_the_cost_is_the_sum_of_its_token_classes(usage: Usage, price: Price, cost: str) -> None:
    assert cost_of(usage, price) == Decimal(cost).quantize(Decimal("0.00000001"))


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        (Usage(1, 1), None),
        (Usage(None, 1), PRICE),
        (Usage(1, None), PRICE),
        (Usage(), FREE),
    ],
)
def test_a_cost_that_is_not_known_is_not_nothing(usage: Usage, price: Price | None) -> None:
    assert cost_of(usage, price) is None


def test_a_rate_is_what_somebody_wrote_and_no_binary_fraction() -> None:
    assert cost_of(Usage(3_000_000, 0), Price(input=0.1, output=0)) == Decimal("0.30000000")


def test_every_price_of_the_catalogue_has_a_version_and_an_unknown_one_is_left_out() -> None:
    prices = {info.id: info.price for models in load_catalogue().values() for info in models}
    assert [model_id for model_id, price in prices.items() if price is None] == ["kimi-latest"]
    assert all(price.version for price in prices.values() if price)
    free = [model_id for model_id, price in prices.items() if price and price.input == price.output == 0]
    assert free == ["glm-4.5-flash"]
    assert all(price.cached <= price.input for price in prices.values() if price and price.cached is not None)

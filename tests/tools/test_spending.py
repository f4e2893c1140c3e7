"""What a call has spent, over all the models that it asked."""

from decimal import Decimal

from exai.protocol.values import Usage
from exai.providers.base import Price
from exai.tools.spending import SEVERAL, Spending

USAGE = Usage(1_000_000, 1_000_000)
CHEAP = Price(input=1, output=2, version="cheap")
DEAR = Price(input=10, output=20, version="dear")


def test_a_call_that_asks_nobody_has_no_cost() -> None:
    assert (Spending().cost, Spending().price_version) == (None, "")


def test_answers_of_one_model_add_up_under_its_price() -> None:
    spending = Spending()
    for _ in range(2):
        spending.add(model="a/b", usage=USAGE, price=CHEAP)
    assert (spending.cost, spending.price_version) == (Decimal(6), "cheap")


def test_answers_of_several_models_add_up_and_no_one_price_explains_them() -> None:
    spending = Spending()
    spending.add(model="a/b", usage=USAGE, price=CHEAP)
    spending.add(model="a/c", usage=USAGE, price=DEAR)
    assert (spending.cost, spending.price_version) == (Decimal(33), SEVERAL)


def test_one_unknown_cost_makes_the_whole_unknown_for_good() -> None:
    spending = Spending()
    spending.add(model="a/b", usage=USAGE, price=None)
    spending.add(model="a/c", usage=USAGE, price=DEAR)
    spending.add(model="a/c", usage=USAGE, price=DEAR)
    assert spending.cost is None

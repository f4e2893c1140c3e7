"""What a call has spent on models so far."""

from decimal import Decimal

from exai.protocol.values import Usage
from exai.providers.base import Price
from exai.providers.prices import cost_of

SEVERAL = "several"  # prices, so that no single one explains the cost


class Spending:
    """`cost` in US dollars; None when nothing was asked, or when the cost of any answer is not known.
    `price_version` names the price that it was computed by."""

    def __init__(self) -> None:
        self.cost: Decimal | None = None
        self.price_version = ""
        self._paid_for: tuple[str, str] | None = None

    def add(self, *, model: str, usage: Usage, price: Price | None) -> None:
        """Takes an answer of a model (`provider/model`)."""
        cost, version = cost_of(usage, price), price.version if price else ""
        if self._paid_for is None:
            self.cost, self.price_version = cost, version
        else:
            self.cost = None if self.cost is None or cost is None else self.cost + cost
            if self._paid_for != (model, version):
                self.price_version = SEVERAL
        self._paid_for = model, version

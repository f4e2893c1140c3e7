"""The budgets of one call: what its requests may still come to is held, and settled once the call is on record."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import ROUND_UP, Decimal

from exai.calls.budgets import Account, Amounts, BudgetCounters, OverBudget
from exai.protocol.errors import BudgetExceeded, InvalidValue
from exai.providers.budget import NOTHING, Charge

_NANO = Decimal(10**9)


class CallBudget:
    """Implements `exai.providers.budget.Budget`."""

    def __init__(self, counters: BudgetCounters, call_id: str, accounts: Sequence[Account]) -> None:
        self._counters = counters
        self._call_id = call_id
        self._accounts = accounts
        self._limits_money = any(account.nano is not None for account in accounts)
        self._held: Amounts | None = None
        self._used = self._reserved = Amounts()
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def reserve(self, most: Charge, *, model: str) -> AsyncIterator["_Reservation"]:
        if most.cost is None and self._limits_money:
            raise InvalidValue(
                f"Your budget limits money, and the price of {model} is not known. Name another model (listmodels "
                "shows prices), or have an operator set its price.",
                model="its price is unknown",
            )
        amounts, reservation = _amounts(most), _Reservation()
        async with self._one_at_a_time:
            await self._hold(amounts)
            self._reserved += amounts
        try:
            yield reservation
        finally:
            # Held until the call is on record, or asks for more.
            self._reserved -= amounts
            self._used += _amounts(reservation.used)

    def settle(self) -> None:
        """The call is on record. Does nothing the second time."""
        held, self._held = self._held, None
        if held is not None:
            self._counters.settle(self._call_id, held, self._used, self._accounts)

    async def _hold(self, wanted: Amounts) -> None:
        held = self._used + self._reserved + wanted
        try:
            await self._counters.hold(self._call_id, self._held, held, self._accounts)
        except OverBudget as over:
            raise _exceeded(over, held) from None
        self._held = held


class _Reservation:
    def __init__(self) -> None:
        self.used = NOTHING

    def settle(self, used: Charge) -> None:
        self.used = used


def _amounts(charge: Charge) -> Amounts:
    cost = charge.cost or Decimal(0)
    return Amounts(charge.tokens, int((cost * _NANO).to_integral_value(ROUND_UP)))


def _exceeded(over: OverBudget, wanted: Amounts) -> BudgetExceeded:
    account, in_tokens = over.account, over.unit == "tokens"
    limit = (account.tokens if in_tokens else account.nano) or 0
    needed = wanted.tokens if in_tokens else wanted.nano
    resets_at = account.ends.isoformat()

    def words(amount: int) -> str:
        return f"{amount:,} tokens" if in_tokens else f"${amount / _NANO:,.4f}"

    def number(amount: int) -> int | float:
        return amount if in_tokens else float(amount / _NANO)

    running = f", {words(over.held)} are held for calls that run" if over.held else ""
    return BudgetExceeded(
        f"The budget of the {account.name} for this {account.period} does not allow this call: {words(over.settled)} "
        f"of {words(limit)} are used{running}, and it may need up to {words(needed)}. It resets at {resets_at}.",
        budget=account.name,
        period=account.period,
        unit=over.unit,
        limit=number(limit),
        used=number(over.settled),
        held=number(over.held),
        needed=number(needed),
        resets_at=resets_at,
        # Running calls give back what they do not need.
        retryable=over.settled + needed <= limit,
    )

"""How the budgets stand: spent by the ledger, held by running calls, left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from conversations.usage import UsageSum, spent_by_clients, spent_by_workspaces
from exai.calls.budget_monitor import read_held
from exai.calls.budgets import Account, Amounts
from exai.calls.redis_link import RedisAway
from exai.models import Budget, BudgetPeriod, BudgetUnit

_NANO = Decimal(10**9)


@dataclass(frozen=True, kw_only=True)
class BudgetState:
    """Amounts in the budget's unit. `held` None: unknown, for Redis is away; nothing is known to be left then."""

    budget: Budget
    spent: Decimal
    held: Decimal | None
    resets_at: datetime

    @property
    def left(self) -> Decimal | None:
        """Not less than 0: what a vendor counted beyond a reservation is over."""
        return None if self.held is None else max(Decimal(0), self.budget.amount - self.spent - self.held)


def budget_states(budgets: Sequence[Budget], *, now: datetime, redis_url: str) -> list[BudgetState]:
    """In the order of the budgets."""
    accounts = [_account(budget, now) for budget in budgets]
    try:
        held: list[Amounts] | list[None] = read_held(redis_url, accounts)
    except RedisAway:
        held = [None] * len(budgets)
    spent = _spent(budgets, now)
    return [
        BudgetState(
            budget=budget,
            spent=_spent_of(budget, spent.get((budget.period, budget.client_id or budget.workspace))),
            held=None if amounts is None else _held_of(budget, amounts),
            resets_at=account.ends,
        )
        for budget, account, amounts in zip(budgets, accounts, held, strict=True)
    ]


def _account(budget: Budget, now: datetime) -> Account:
    begins, ends = BudgetPeriod(budget.period).around(now)
    subject = f"client:{budget.client_id}" if budget.client_id else f"workspace:{budget.workspace}"
    return Account(subject, budget.subject, budget.period, begins, ends, tokens=None, nano=None)


def _spent(budgets: Sequence[Budget], now: datetime) -> dict[tuple[str, int | str], UsageSum]:
    """Two statements a period, however many budgets."""
    spent: dict[tuple[str, int | str], UsageSum] = {}
    for period, of_period in groupby(sorted(budgets, key=lambda budget: budget.period), lambda budget: budget.period):
        subjects = list(of_period)
        begins, ends = BudgetPeriod(period).around(now)
        clients = {budget.client_id for budget in subjects if budget.client_id}
        workspaces = {budget.workspace for budget in subjects if budget.workspace}
        for client_id, found in spent_by_clients(clients, begins, ends).items():
            spent[period, client_id] = found
        for workspace, found in spent_by_workspaces(workspaces, begins, ends).items():
            spent[period, workspace] = found
    return spent


def _spent_of(budget: Budget, spent: UsageSum | None) -> Decimal:
    if spent is None:
        return Decimal(0)
    return Decimal(spent.tokens) if budget.unit == BudgetUnit.TOKENS else spent.cost + spent.estimated_cost


def _held_of(budget: Budget, held: Amounts) -> Decimal:
    return Decimal(held.tokens) if budget.unit == BudgetUnit.TOKENS else held.nano / _NANO

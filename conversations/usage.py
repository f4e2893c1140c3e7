"""What was used of models: sums over the records of calls. Days are those of UTC in which the calls began."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncDate

from conversations.models import CallStatus, ToolCall

# A call that used a model. An answer of the cache used none, and neither did a call that failed before it was billed.
_USED = Q(cached="") & (
    Q(input_tokens__isnull=False) | Q(output_tokens__isnull=False) | Q(estimated_tokens__isnull=False)
)
_SUMS: dict[str, Any] = {
    "calls": Count("pk"),
    "unsuccessful": Count("pk", filter=~Q(status=CallStatus.SUCCEEDED)),
    "used": Count("pk", filter=_USED),
    "estimated": Count("pk", filter=Q(estimated_tokens__isnull=False)),
    "unpriced": Count("pk", filter=_USED & Q(cost__isnull=True, estimated_cost__isnull=True)),
    **{
        f"{name}_sum": Coalesce(Sum(name), 0)
        for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    },
    **{f"{name}_sum": Coalesce(Sum(name), 0) for name in ("estimated_tokens", "excess_tokens")},
    **{f"{name}_sum": Coalesce(Sum(name), Decimal(0)) for name in ("cost", "estimated_cost", "excess_cost")},
}

# What sums can be grouped by: the columns that name a group.
DIMENSIONS = {
    "day": ("day",),
    "client": ("client_id", "client__name", "workspace"),
    "model": ("provider", "model"),
    "tool": ("tool",),
}
FINEST = ("day", "workspace", "client_id", "client__name", "tool", "provider", "model")


@dataclass(frozen=True, kw_only=True)
class UsageFilter:
    """Both days included."""

    first: date
    last: date
    client_id: int | None = None
    workspace: str = ""

    def days(self) -> Iterator["UsageFilter"]:
        for number in range((self.last - self.first).days + 1):
            day = self.first + timedelta(days=number)
            yield UsageFilter(first=day, last=day, client_id=self.client_id, workspace=self.workspace)


@dataclass(frozen=True, kw_only=True)
class UsageSum:
    """Sums over calls. Money in US dollars.

    `used` are the calls that used a model; of `unpriced` ones of them nobody knows the cost, which is not 0. Of
    `estimated` ones the vendor did not count all tokens. `excess_…` is what vendors counted beyond reservations.
    """

    group: tuple[Any, ...]
    calls: int
    unsuccessful: int
    used: int
    estimated: int
    unpriced: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated_tokens: int
    excess_tokens: int
    cost: Decimal
    estimated_cost: Decimal
    excess_cost: Decimal

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.estimated_tokens

    @property
    def known_cost(self) -> Decimal | None:
        """Of the calls whose cost is known; None when that is none of those that used a model."""
        return None if self.used and self.unpriced == self.used else self.cost + self.estimated_cost


def usage_by(chosen: UsageFilter, columns: tuple[str, ...]) -> list[UsageSum]:
    """Sums by the values of these columns, a value of `DIMENSIONS` or `FINEST`: days in order, others by tokens."""
    found = _calls(chosen).annotate(day=TruncDate("started_at", tzinfo=UTC)).order_by().values(*columns)
    rows = [_usage(row, columns) for row in found.annotate(**_SUMS)]
    if columns[0] == "day":
        return sorted(rows, key=lambda row: tuple(map(str, row.group)))
    return sorted(rows, key=lambda row: (-row.tokens, -row.calls, tuple(map(str, row.group))))


def usage_in_all(chosen: UsageFilter) -> UsageSum:
    return _usage(_calls(chosen).order_by().aggregate(**_SUMS), ())


def usage_of_conversation(conversation_id: int) -> UsageSum:
    """Of all calls that are recorded for it."""
    return _usage(ToolCall.objects.filter(conversation_id=conversation_id).order_by().aggregate(**_SUMS), ())


def spent_by_clients(client_ids: Iterable[int], begins: datetime, ends: datetime) -> dict[int, UsageSum]:
    """What each of the clients has spent in a period, as budgets count it; who has spent nothing is not there."""
    return _spent("client_id", Q(client_id__in=list(client_ids)), begins, ends)


def spent_by_workspaces(names: Iterable[str], begins: datetime, ends: datetime) -> dict[str, UsageSum]:
    return _spent("workspace", Q(workspace__in=list(names)), begins, ends)


def _spent(column: str, whose: Q, begins: datetime, ends: datetime) -> dict[Any, UsageSum]:
    found = _between(begins, ends).filter(whose).order_by().values(column).annotate(**_SUMS)
    return {row[column]: _usage(row, (column,)) for row in found}


def _calls(chosen: UsageFilter) -> QuerySet[ToolCall]:
    begins = datetime.combine(chosen.first, time.min, UTC)
    calls = _between(begins, datetime.combine(chosen.last, time.min, UTC) + timedelta(days=1))
    if chosen.client_id is not None:
        calls = calls.filter(client_id=chosen.client_id)
    return calls.filter(workspace=chosen.workspace) if chosen.workspace else calls


def _between(begins: datetime, ends: datetime) -> QuerySet[ToolCall]:
    # What began then has ended since: that is indexed.
    return ToolCall.objects.filter(ended_at__gte=begins, started_at__gte=begins, started_at__lt=ends)


def _usage(row: dict[str, Any], columns: tuple[str, ...]) -> UsageSum:
    sums: dict[str, Any] = {name.removesuffix("_sum"): row[name] for name in _SUMS}
    # PostgreSQL sums large integers as decimals.
    sums |= {name: int(sums[name]) for name in ("estimated_tokens", "excess_tokens")}
    return UsageSum(group=tuple(row[column] for column in columns), **sums)

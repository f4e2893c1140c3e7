"""Computes what calls cost anew, by the prices that were valid when they began.

A row of model_prices says what a model cost from some moment on, and so corrects what calls before said. The catalogue
and the settings say nothing of the past: their price is for calls whose cost is unknown. A known cost never becomes
unknown.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from conversations.models import ToolCall
from exai.models import ModelPrice
from exai.protocol.values import Usage
from exai.providers.base import ModelInfo, Price
from exai.providers.budget import SEVERAL
from exai.providers.prices import cost_of, with_version

BATCH = 500  # rows a transaction: short locks, and nothing lost when it is interrupted


class Recosted(NamedTuple):
    """`skipped`: calls of several models or prices, whose cost no single price explains. `unknown`: still."""

    seen: int = 0
    changed: int = 0
    unknown: int = 0
    skipped: int = 0

    def __add__(self, other: object) -> "Recosted":
        if not isinstance(other, Recosted):
            return NotImplemented
        return Recosted(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class PriceBook:
    """The prices of every model over time."""

    def __init__(self, catalogue: Mapping[str, Sequence[ModelInfo]]) -> None:
        self._listed = {
            (provider, info.id.lower()): with_version(info.price)
            for provider, models in catalogue.items()
            for info in models
            if info.price
        }
        self._rows: dict[tuple[str, str], list[tuple[datetime, Price]]] = defaultdict(list)
        for row in ModelPrice.objects.order_by("effective_from"):
            cached = None if row.cached is None else float(row.cached)
            price = Price(input=float(row.input), output=float(row.output), cached=cached, version=row.version)
            self._rows[row.provider, row.model_id.lower()].append((row.effective_from, price))

    def at(self, provider: str, model: str, moment: datetime) -> Price | None:
        """The operator's price that was in force then."""
        rows = self._rows.get((provider, model.lower()), [])
        place = bisect_right(rows, moment, key=lambda row: row[0])
        return rows[place - 1][1] if place else None

    def listed(self, provider: str, model: str) -> Price | None:
        """The price of the catalogue or of the settings."""
        return self._listed.get((provider, model.lower()))


def calls_recost(
    *,
    since: datetime,
    catalogue: Mapping[str, Sequence[ModelInfo]],
    dry_run: bool = False,
    progress: Callable[[Recosted], None] = lambda so_far: None,
) -> Recosted:
    """Of the calls that ended since then. May be repeated and interrupted: what is right already is not written."""
    book, total = PriceBook(catalogue), Recosted()
    for batch in _batches(since):
        total += _recost_batch(batch, book, dry_run=dry_run)
        progress(total)
    return total


def _batches(since: datetime) -> Iterator[list[UUID]]:
    """Ids in the order of time, by key: a page costs the same however far it is."""
    last: tuple[datetime, UUID] | None = None
    while True:
        calls = ToolCall.objects.filter(ended_at__gte=since).exclude(model="")
        if last is not None:
            calls = calls.filter(ended_at__gte=last[0]).exclude(ended_at=last[0], id__lte=last[1])
        page = list(calls.order_by("ended_at", "id").values_list("ended_at", "id")[:BATCH])
        if not page:
            return
        yield [id_ for _, id_ in page]
        last = page[-1]


@transaction.atomic
def _recost_batch(ids: list[UUID], book: PriceBook, *, dry_run: bool) -> Recosted:
    calls = ToolCall.objects.filter(id__in=ids)
    if not dry_run:
        calls = calls.select_for_update(of=("self",))
    changed, unknown, skipped = [], 0, 0
    for call in calls:
        if call.price_version == SEVERAL:
            skipped += 1
            continue
        price = book.at(call.provider, call.model, call.started_at)
        if price is None and call.cost is None:
            price = book.listed(call.provider, call.model)
        usage = Usage(call.input_tokens, call.output_tokens, call.cached_tokens, call.reasoning_tokens)
        cost = cost_of(usage, price)
        if cost is None or price is None:
            unknown += call.cost is None
        elif (cost, price.version) != (call.cost, call.price_version):
            call.cost, call.price_version = cost, price.version
            changed.append(call)
    if changed and not dry_run:
        ToolCall.objects.bulk_update(changed, ["cost", "price_version"])
    return Recosted(seen=len(ids), changed=len(changed), unknown=unknown, skipped=skipped)

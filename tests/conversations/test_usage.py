"""Sums over the records of calls."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from conversations.models import CallStatus, ToolCall
from conversations.usage import DIMENSIONS, FINEST, UsageFilter, spent_by_clients, usage_by, usage_in_all
from exai.access import client_create
from exai.models import ApiClient

pytestmark = pytest.mark.django_db
_MARCH = UsageFilter(first=date(2026, 3, 1), last=date(2026, 3, 31))


@pytest.fixture
def agent() -> ApiClient:
    return client_create(name="agent")[0]


def _call(client: ApiClient, began: datetime, **given: Any) -> ToolCall:
    fields = {"tool": "chat", "model": "m", "provider": "p", "status": CallStatus.SUCCEEDED, **given}
    ended = given.pop("ended_at", began + timedelta(seconds=5))
    return ToolCall.objects.create(
        id=uuid.uuid4(), client=client, workspace=client.workspace, **{"started_at": began, "ended_at": ended, **fields}
    )


def _march(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def test_a_call_belongs_to_the_day_of_utc_in_which_it_began(agent: ApiClient) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    _call(agent, midnight - timedelta(seconds=1), ended_at=midnight + timedelta(hours=1), input_tokens=1)
    _call(agent, midnight, input_tokens=10)
    _call(agent, datetime(2026, 4, 1, tzinfo=UTC), input_tokens=100)
    days = usage_by(_MARCH, DIMENSIONS["day"])
    assert [(row.group, row.input_tokens) for row in days] == [((date(2026, 3, 1),), 1), ((date(2026, 3, 2),), 10)]
    assert usage_in_all(_MARCH).input_tokens == 11


def test_an_unknown_cost_is_counted_and_never_taken_for_0(agent: ApiClient) -> None:
    _call(agent, _march(1), model="known", input_tokens=1, output_tokens=2, cost=Decimal("0.5"))
    _call(agent, _march(1), model="mixed", input_tokens=1, output_tokens=2, cost=Decimal("0.25"))
    _call(agent, _march(1), model="mixed", input_tokens=1, output_tokens=2)
    _call(agent, _march(1), model="unknown", input_tokens=1, output_tokens=2)
    _call(agent, _march(1), model="free", input_tokens=1, output_tokens=2, cost=0)
    _call(agent, _march(1), model="refused", status=CallStatus.FAILED)
    rows = {row.group[1]: row for row in usage_by(_MARCH, DIMENSIONS["model"])}
    found = {model: (row.known_cost, row.used, row.unpriced) for model, row in rows.items()}
    assert found == {
        "known": (Decimal("0.5"), 1, 0),
        "mixed": (Decimal("0.25"), 2, 1),
        "unknown": (None, 1, 1),
        "free": (Decimal(0), 1, 0),
        "refused": (Decimal(0), 0, 0),
    }
    assert rows["refused"].unsuccessful == 1
    total = usage_in_all(_MARCH)
    assert (total.known_cost, total.used, total.unpriced) == (Decimal("0.75"), 5, 2)


def test_estimates_count_beside_what_vendors_counted(agent: ApiClient) -> None:
    _call(agent, _march(1), input_tokens=10, output_tokens=20, cost=Decimal("0.1"))
    _call(agent, _march(1), estimated_tokens=5, estimated_cost=Decimal("0.01"), status=CallStatus.FAILED)
    _call(agent, _march(1), input_tokens=1, output_tokens=90, cost=1, excess_tokens=7, excess_cost=Decimal("0.5"))
    total = usage_in_all(_MARCH)
    assert (total.tokens, total.estimated_tokens, total.estimated) == (126, 5, 1)
    assert (total.known_cost, total.unpriced) == (Decimal("1.11"), 0)
    assert (total.excess_tokens, total.excess_cost) == (7, Decimal("0.5"))


def test_filters_hold_and_the_finest_grain_adds_up(agent: ApiClient) -> None:
    other = client_create(name="other")[0]
    for client in (agent, other):
        for tool in ("chat", "status"):
            _call(client, _march(3), tool=tool, input_tokens=4)
    for chosen in ({"client_id": agent.pk}, {"workspace": "agent"}):
        narrowed = UsageFilter(first=_MARCH.first, last=_MARCH.last, **chosen)
        finest = usage_by(narrowed, FINEST)
        assert [(row.group[1], row.group[4], row.input_tokens) for row in finest] == [
            ("agent", "chat", 4),
            ("agent", "status", 4),
        ]
    assert [day.first for day in UsageFilter(first=date(2026, 2, 28), last=date(2026, 3, 1)).days()] == [
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]
    spent = spent_by_clients([agent.pk], _march(1, 0), _march(4, 0))
    assert {client: row.tokens for client, row in spent.items()} == {agent.pk: 8}

"""Budgets as rows: what the database refuses, and their periods."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction

from exai.access import client_create
from exai.models import ApiClient, Budget, BudgetPeriod


@pytest.fixture
def agent(db: None) -> ApiClient:
    return client_create(name="agent")[0]


def _budget(**given: Any) -> Budget:
    return Budget(**{"period": "day", "unit": "tokens", "amount": 1000, **given})


def test_a_subject_may_have_one_budget_a_period_and_unit(agent: ApiClient) -> None:
    for subject in ({"client": agent}, {"workspace": "agent"}):
        for period in ("day", "month"):
            for unit in ("tokens", "usd"):
                _budget(**subject, period=period, unit=unit).save()
        with pytest.raises(IntegrityError), transaction.atomic():
            _budget(**subject).save()
    assert Budget.objects.count() == 8


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"client": True, "workspace": "w"},
        {"workspace": "w", "period": "year"},
        {"workspace": "w", "unit": "eur"},
        {"workspace": "w", "amount": -1},
        {"workspace": "w", "unit": "usd", "amount": 5_000_001},
        {"workspace": "w", "amount": 10**15 + 1},
    ],
    ids=["nobody's", "two subjects", "a year", "euros", "negative", "too much money", "too many tokens"],
)
def test_an_impossible_budget_is_refused_by_the_database_and_in_words(agent: ApiClient, given: dict[str, Any]) -> None:
    if given.get("client"):
        given = {**given, "client": agent}
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        _budget(**given).save()
    with pytest.raises(ValidationError):
        _budget(**given).full_clean()


def test_half_a_token_is_refused(agent: ApiClient) -> None:
    with pytest.raises(ValidationError) as caught:
        _budget(client=agent, amount="0.5").full_clean()
    assert "amount" in caught.value.message_dict


def test_a_budget_says_whose_it_is_and_how_much(agent: ApiClient) -> None:
    assert str(_budget(client=agent, amount=2_000_000)) == "client agent, 2,000,000 tokens a day"
    assert str(_budget(workspace="w", unit="usd", period="month", amount=12.5)) == "workspace w, $12.50 a month"


@pytest.mark.parametrize(
    ("period", "moment", "begins", "ends"),
    [
        ("day", (2026, 2, 28, 23, 59, 59), (2026, 2, 28), (2026, 3, 1)),
        ("month", (2026, 1, 31, 12), (2026, 1, 1), (2026, 2, 1)),
        ("month", (2026, 2, 1), (2026, 2, 1), (2026, 3, 1)),
        ("month", (2026, 12, 31, 23), (2026, 12, 1), (2027, 1, 1)),
    ],
)
def test_days_and_months_are_those_of_utc(
    period: str, moment: tuple[int, ...], begins: tuple[int, int, int], ends: tuple[int, int, int]
) -> None:
    expected = (datetime(*begins, tzinfo=UTC), datetime(*ends, tzinfo=UTC))
    at = datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]
    assert BudgetPeriod(period).around(at) == expected
    assert BudgetPeriod(period).around(at.astimezone(timezone(timedelta(hours=9)))) == expected

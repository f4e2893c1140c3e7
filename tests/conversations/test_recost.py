"""What past calls cost, computed anew by the prices that were valid then."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import recost
from conversations.models import CallStatus, ToolCall
from conversations.recost import Recosted, calls_recost
from exai.access import client_create
from exai.management.commands import recost as command
from exai.models import ModelPrice
from exai.providers.base import ModelInfo, Price
from exai.settings.hub import parse

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SINCE = NOW - timedelta(days=100)
CATALOGUE = {"kimi": (ModelInfo("k", 1000, price=Price(input=1, output=1, version="catalogue")),)}
MakeCall = Callable[..., ToolCall]


@pytest.fixture
def make_call() -> MakeCall:
    client, _ = client_create(name="agent")

    def make(*, days_ago: float = 1, **given: object) -> ToolCall:
        at = NOW - timedelta(days=days_ago)
        fields: dict[str, object] = {
            "tool": "chat",
            "provider": "kimi",
            "model": "k",
            "status": CallStatus.SUCCEEDED,
            "input_tokens": 1_000_000,
            "output_tokens": 1_000_000,
            "started_at": at,
            "ended_at": at,
            **given,
        }
        return ToolCall.objects.create(id=uuid.uuid4(), client=client, workspace="agent", **fields)

    return make


def price(version: str, dollars: float, *, days_ago: float, **given: object) -> None:
    fields: dict[str, object] = {"provider": "kimi", "model_id": "k", "input": dollars, "output": dollars, **given}
    ModelPrice.objects.create(version=version, effective_from=NOW - timedelta(days=days_ago), **fields)


def cost(call: ToolCall) -> tuple[object, str]:
    call.refresh_from_db()
    return call.cost, call.price_version


def run(since: datetime = SINCE, *, dry_run: bool = False) -> Recosted:
    return calls_recost(since=since, catalogue=CATALOGUE, dry_run=dry_run)


def test_each_call_costs_what_was_valid_when_it_began(make_call: MakeCall) -> None:
    price("first", 2, days_ago=20)
    price("second", 3, days_ago=10)
    price("future", 9, days_ago=-10)
    early, late = make_call(days_ago=15), make_call(days_ago=5)
    # It began under the first price, and ended under the second.
    across = make_call(days_ago=5, started_at=NOW - timedelta(days=11))
    assert run() == Recosted(seen=3, changed=3)
    assert (cost(early), cost(across), cost(late)) == ((4, "first"), (4, "first"), (6, "second"))


def test_a_model_is_known_in_any_case(make_call: MakeCall) -> None:
    price("v", 2, days_ago=20, model_id="K")
    call = make_call()
    run()
    assert cost(call) == (4, "v")


def test_the_classes_of_tokens_are_priced_apart(make_call: MakeCall) -> None:
    price("v", 2, days_ago=20, output=10, cached=1)
    call = make_call(cached_tokens=500_000, reasoning_tokens=900_000)
    run()
    assert cost(call) == (Decimal("11.5"), "v")


def test_a_second_run_changes_nothing(make_call: MakeCall) -> None:
    price("v", 2, days_ago=20)
    make_call()
    assert run().changed == 1
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert run() == Recosted(seen=1)
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]


def test_a_dry_run_says_what_would_change_and_writes_nothing(make_call: MakeCall) -> None:
    price("v", 2, days_ago=20)
    call = make_call()
    assert run(dry_run=True) == Recosted(seen=1, changed=1)
    assert cost(call) == (None, "")


def test_the_catalogue_fills_unknown_costs_only(make_call: MakeCall) -> None:
    unknown, known = make_call(), make_call(cost=Decimal(7), price_version="older")
    run()
    assert (cost(unknown), cost(known)) == ((2, "catalogue"), (7, "older"))


def test_what_nobody_knows_stays_unknown_and_what_is_known_stays_known(make_call: MakeCall) -> None:
    strange = make_call(model="strange")
    uncounted = make_call(output_tokens=None)
    kept = make_call(model="strange", cost=Decimal(7), price_version="gone")
    assert run() == Recosted(seen=3, unknown=2)
    assert [cost(call) for call in (strange, uncounted, kept)] == [(None, ""), (None, ""), (7, "gone")]


def test_a_call_of_several_models_is_left_alone(make_call: MakeCall) -> None:
    price("v", 2, days_ago=20)
    call = make_call(cost=Decimal(7), price_version="several")
    assert run() == Recosted(seen=1, skipped=1)
    assert cost(call) == (7, "several")


def test_calls_before_and_calls_without_a_model_are_not_looked_at(make_call: MakeCall) -> None:
    price("v", 2, days_ago=200)
    before = make_call(days_ago=101)
    make_call(model="")
    assert run() == Recosted()
    assert cost(before) == (None, "")


def test_more_than_a_batch_is_done_completely(make_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recost, "BATCH", 2)
    price("v", 2, days_ago=200)
    same_moment = [make_call(days_ago=3) for _ in range(3)]
    others = [make_call(days_ago=days) for days in (1, 2, 4, 5)]
    seen: list[int] = []
    done = calls_recost(since=SINCE, catalogue=CATALOGUE, progress=lambda so_far: seen.append(so_far.seen))
    assert done == Recosted(seen=7, changed=7)
    assert seen == [2, 4, 6, 7]
    assert {cost(call) for call in (*same_moment, *others)} == {(4, "v")}


def test_the_command_tells_what_it_did(make_call: MakeCall) -> None:
    price("v", 2, days_ago=200)
    make_call()
    make_call(model="strange")
    out = StringIO()
    call_command("recost", since=SINCE.isoformat(), stdout=out, stderr=StringIO())
    assert "2 calls of models: 1 changed, 1 of unknown cost." in out.getvalue()


def test_the_command_knows_the_prices_of_the_settings(make_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"id": "llama", "price": {"input": 1, "output": 2}}
    endpoint = {"name": "ollama", "url": "http://ollama.test/v1", "models": [model]}
    settings = parse({"EXAI_ENDPOINTS": json.dumps([endpoint])})
    monkeypatch.setattr(command, "hub_settings", lambda: settings)
    call = make_call(provider="ollama", model="llama")
    call_command("recost", since=SINCE.isoformat(), stdout=StringIO(), stderr=StringIO())
    assert cost(call) == (Decimal(3), "1/2")


def test_the_command_wants_a_date() -> None:
    with pytest.raises(CommandError, match="no date"):
        call_command("recost", "--since", "yesterday")

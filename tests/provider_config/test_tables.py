"""What the database refuses in the provider tables, and how their state is read, all of one moment."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from exai.models import ModelPrice, ModelRoute, ProviderEndpoint, ProviderModel, ProviderRevision
from exai.provider_config.tables import REVISION, TABLES, ProviderTables, parse_tables
from exai.providers.base import Price

pytestmark = pytest.mark.django_db


def read() -> ProviderTables:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        return parse_tables(cursor.fetchone()[0])


def revision() -> int:
    with connection.cursor() as cursor:
        cursor.execute(REVISION)
        return int(cursor.fetchone()[0])


def price(**given: Any) -> ModelPrice:
    fields = {"provider": "kimi", "model_id": "k", "version": "v", "input": 1, "output": 2, **given}
    return ModelPrice.objects.create(**fields)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (ProviderEndpoint, {"name": "exai"}),
        (ProviderEndpoint, {"name": "No"}),
        (ProviderEndpoint, {"name": "a/b"}),
        (ProviderEndpoint, {"name": "a", "url": "ftp://host/"}),
        (ProviderEndpoint, {"name": "a", "url": "http://user:password@host/v1"}),
        (ProviderEndpoint, {"name": "a", "max_inflight": 0}),
        (ProviderModel, {"provider": "a", "model_id": ""}),
        (ProviderModel, {"provider": "A", "model_id": "m"}),
        (ProviderModel, {"provider": "a", "model_id": "m", "context": 1}),
        (ProviderModel, {"provider": "a", "model_id": "m", "output": 0}),
        (ModelPrice, {"provider": "a", "model_id": "m", "version": "", "input": 1, "output": 1}),
        (ModelPrice, {"provider": "a", "model_id": "m", "version": "v", "input": -1, "output": 1}),
        (ModelPrice, {"provider": "a", "model_id": "m", "version": "v", "input": 1, "output": 1, "cached": -1}),
        (ModelPrice, {"provider": "a", "model_id": "m", "version": "v", "input": 1, "output": 2_000_000}),
        (ModelRoute, {"name": "fast", "model_names": []}),
        (ModelRoute, {"name": "night", "model_names": ["m"]}),
    ],
)
def test_what_makes_no_sense_is_refused(model: type[models.Model], fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        model._default_manager.create(**fields)


def test_names_are_used_once() -> None:
    now = timezone.now()
    ProviderEndpoint.objects.create(name="a")
    ProviderModel.objects.create(provider="a", model_id="m")
    ModelRoute.objects.create(name="fast", model_names=["m"])
    price(effective_from=now)
    for again in (
        lambda: ProviderEndpoint.objects.create(name="a"),
        lambda: ProviderModel.objects.create(provider="a", model_id="m"),
        lambda: ModelRoute.objects.create(name="fast", model_names=["m"]),
        lambda: price(effective_from=now + timedelta(1)),
        lambda: price(effective_from=now, version="w"),
        lambda: ProviderRevision.objects.create(id=2, revision=1),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            again()


def test_empty_tables_read_as_nothing() -> None:
    assert read() == ProviderTables(revision=revision())


def test_rows_are_read_as_they_are() -> None:
    ProviderEndpoint.objects.create(name="a", url="http://a.test/v1", sealed_key="v1:x", max_inflight=5)
    ProviderModel.objects.create(provider="a", model_id="m", context=9000, vision=False, aliases=["x", ""])
    ModelRoute.objects.create(name="fast", model_names=["a/m", "k"])
    tables = read()
    (endpoint,), (model,) = tables.endpoints, tables.models
    assert (endpoint.name, endpoint.enabled, endpoint.url, endpoint.sealed_key) == (
        "a",
        True,
        "http://a.test/v1",
        "v1:x",
    )
    assert endpoint.max_inflight == 5
    assert (model.provider, model.id, model.context, model.vision, model.thinking) == ("a", "m", 9000, False, None)
    assert model.aliases == ("x",)
    assert tables.routes == {"fast": ("a/m", "k")}


def test_of_a_models_prices_the_newest_in_force_is_read_and_when_the_next_one_comes() -> None:
    now = timezone.now()
    price(version="old", effective_from=now - timedelta(days=9))
    price(version="now", effective_from=now - timedelta(days=1), input=Decimal("0.6"), cached=Decimal("0.15"))
    price(version="next", effective_from=now + timedelta(days=2))
    price(version="later", effective_from=now + timedelta(days=3), model_id="other")
    tables = read()
    (row,) = tables.prices
    assert (row.provider, row.id, row.price) == ("kimi", "k", Price(0.6, 2, 0.15, "now"))
    assert tables.next_price_at == now + timedelta(days=2)


@pytest.mark.django_db(transaction=True)
def test_every_change_makes_a_new_revision_whoever_makes_it() -> None:
    seen = {revision()}
    endpoint = ProviderEndpoint.objects.create(name="a")
    for change in (
        lambda: ProviderEndpoint.objects.filter(pk=endpoint.pk).update(enabled=False),
        lambda: ProviderModel.objects.create(provider="a", model_id="m"),
        lambda: price(),
        lambda: ModelRoute.objects.create(name="fast", model_names=["m"]),
        lambda: connection.cursor().execute("DELETE FROM model_routes"),
        lambda: connection.cursor().execute("TRUNCATE provider_models"),
    ):
        seen.add(revision())
        change()
        assert revision() not in seen

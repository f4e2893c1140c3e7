"""The registry of one process: who keeps which provider open, and for how long."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

import psycopg
import pytest

from exai.database import Database, DatabaseAway
from exai.live_registry import live_registry
from exai.live_registry.live_registry import LiveRegistry
from exai.provider_config.plans import ProviderPlan
from exai.providers.base import AnswerEvent, ModelRequest, Provider
from exai.providers.registry import Registry
from exai.providers.routes import default_routes
from exai.settings.hub import parse
from exai.wiring import Wiring
from tests.providers.test_wiring import CountedSlots

_PATIENCE_S = 5.0


class Planned:
    """A provider that is only kept, never asked."""

    is_test = False

    def __init__(self, plan: ProviderPlan) -> None:
        self.name, self.models = plan.name, plan.models
        self.closed = False

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        raise AssertionError("nobody asks")
        yield

    async def close(self) -> None:
        self.closed = True


class PlannedWiring(Wiring):
    def provider(self, plan: ProviderPlan) -> Provider:
        return Planned(plan)


@pytest.fixture
def rows(database: psycopg.Connection) -> Iterator[Callable[[str], None]]:
    """Runs a statement; what it changes goes with the test."""

    def run(statement: str) -> None:
        database.execute(statement.encode())

    yield run
    for table in ("provider_endpoints", "provider_models", "model_prices", "model_routes"):
        database.execute(f"DELETE FROM {table}".encode())


@pytest.fixture
async def registries(hub_database_url: str) -> AsyncIterator[LiveRegistry]:
    database = Database(hub_database_url, pool_size=2)
    settings = parse({"MOONSHOT_API_KEY": "sk-kimi", "EXAI_DISCOVERY_SECS": "0"})
    made = LiveRegistry(
        settings=settings,
        database=database,
        wiring=PlannedWiring(settings, CountedSlots()),
        hub_secret="the hub's secret, of 32 characters and more",
    )
    yield made
    await made.close()
    await database.close()


async def until(registries: LiveRegistry, holds: Callable[[Registry], bool]) -> Registry:
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        async with registries.lease() as registry:
            if holds(registry):
                return registry
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


def names(registry: Registry) -> list[str]:
    return [provider.name for provider in registry.providers]


def provider(registry: Registry, name: str) -> Planned:
    (found,) = (each for each in registry.providers if each.name == name)
    assert isinstance(found, Planned)
    return found


_ADD = (
    "INSERT INTO provider_endpoints (name, enabled, url, sealed_key, updated_at) VALUES ('{}', true, '{}', '', now())"
)


async def test_all_of_the_first_calls_get_the_whole_registry(
    registries: LiveRegistry, rows: Callable[[str], None]
) -> None:
    rows(_ADD.format("a", "http://a.test/v1"))

    async def first() -> list[str]:
        async with registries.lease() as registry:
            return names(registry)

    assert await asyncio.gather(*(first() for _ in range(50))) == [["kimi", "a", "exai"]] * 50


async def test_a_change_leaves_the_other_providers_as_they_are(
    registries: LiveRegistry, rows: Callable[[str], None]
) -> None:
    async with registries.lease() as before:
        rows(_ADD.format("a", "http://a.test/v1"))
        after = await until(registries, lambda registry: "a" in names(registry))
    assert provider(after, "kimi") is provider(before, "kimi")
    assert not provider(after, "kimi").closed


async def test_a_provider_is_closed_when_the_last_call_that_uses_it_has_ended(
    registries: LiveRegistry, rows: Callable[[str], None]
) -> None:
    rows(_ADD.format("a", "http://a.test/v1"))
    async with registries.lease(), registries.lease() as running:
        old = provider(running, "a")
        rows("UPDATE provider_endpoints SET url = 'http://b.test/v1'")
        new = await until(registries, lambda registry: provider(registry, "a") is not old)
        rows("DELETE FROM provider_endpoints")
        await until(registries, lambda registry: "a" not in names(registry))
        assert not old.closed
        assert names(running) == ["kimi", "a", "exai"]
    await until(registries, lambda _: old.closed and provider(new, "a").closed)
    assert not provider(running, "kimi").closed


async def test_a_price_comes_into_force_at_its_time_without_a_change_of_any_row(
    registries: LiveRegistry, rows: Callable[[str], None]
) -> None:
    rows(
        "INSERT INTO model_prices (provider, model_id, version, effective_from, input, output)"
        " VALUES ('kimi', 'kimi-latest', 'soon', clock_timestamp() + interval '1 second', 1, 2)"
    )
    async with registries.lease() as registry:
        assert registry.named("kimi-latest").info.price is None

    def in_force(registry: Registry) -> bool:
        price = registry.named("kimi-latest").info.price
        return price is not None and price.version == "soon"

    await until(registries, in_force)


async def test_a_route_of_the_tables_stands_in_place_of_the_built_in_one(
    registries: LiveRegistry, rows: Callable[[str], None]
) -> None:
    rows("INSERT INTO model_routes (name, model_names) VALUES ('fast', '{kimi-k2,glm-4.5-flash}')")
    async with registries.lease() as registry:
        assert registry.routes == default_routes().overridden({"fast": ("kimi-k2", "glm-4.5-flash")})
        assert registry.routes.fast == ("kimi-k2", "glm-4.5-flash")


async def test_closing_closes_every_provider(registries: LiveRegistry) -> None:
    async with registries.lease() as registry:
        kimi = provider(registry, "kimi")
    await registries.close()
    assert kimi.closed


async def test_before_the_tables_are_read_there_is_no_registry_rather_than_half_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_registry, "_FIRST_LOAD_PATIENCE_S", 0.2)
    database = Database("postgresql://nobody@/nothing?host=/nonexistent", pool_size=1)
    settings = parse({"MOONSHOT_API_KEY": "sk-kimi"})
    wiring = PlannedWiring(settings, CountedSlots())
    registries = LiveRegistry(settings=settings, database=database, wiring=wiring, hub_secret="x" * 32)
    with pytest.raises(DatabaseAway):
        async with registries.lease():
            pass
    await registries.close()
    await database.close()


async def test_an_offer_that_no_registry_can_be_made_of_is_not_looked_at_without_pause(
    registries: LiveRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with registries.lease():
        pass
    tries: list[float] = []

    def fails(text: str) -> None:
        tries.append(time.monotonic())
        raise ValueError("no registry")

    monkeypatch.setattr(registries, "_build", fails)
    registries._changed.set()  # as an endpoint's new offer does
    give_up_at = time.monotonic() + _PATIENCE_S
    while len(tries) < 3:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)
    assert tries[2] - tries[1] > live_registry.LOOK_INTERVAL_S / 2

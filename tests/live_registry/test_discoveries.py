"""Endpoints are asked what they offer when they are new or changed, and again from time to time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from exai.live_registry import discoveries as module
from exai.live_registry.discoveries import Discoveries
from exai.provider_config.plans import ProviderPlan
from exai.providers.discovery import DiscoveryFailed
from exai.providers.overrides import OfferedModel

_PATIENCE_S = 5.0


class Endpoint:
    """Stands in for every endpoint: what it offers, and who asked."""

    def __init__(self) -> None:
        self.offers: tuple[OfferedModel, ...] | DiscoveryFailed = (OfferedModel("m"),)
        self.asked: list[tuple[str, str]] = []
        self.changed = asyncio.Event()

    async def offered_models(self, *, base_url: str, key: str) -> tuple[OfferedModel, ...]:
        self.asked.append((base_url, key))
        self.changed.set()
        if isinstance(self.offers, DiscoveryFailed):
            raise self.offers
        return self.offers

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    endpoint = Endpoint()
    monkeypatch.setattr(module, "offered_models", endpoint.offered_models)
    return endpoint


@pytest.fixture
async def discoveries(endpoint: Endpoint) -> AsyncIterator[Discoveries]:
    made = Discoveries(every_s=600, on_change=endpoint.changed.set)
    yield made
    await made.close()


def plan(name: str = "a", *, url: str = "http://a.test", key: str = "k") -> ProviderPlan:
    return ProviderPlan(name=name, base_url=url, key=key, key_setting="", max_inflight=1, models=())


async def test_an_endpoint_is_asked_once_until_it_changes(discoveries: Discoveries, endpoint: Endpoint) -> None:
    for _ in range(3):
        discoveries.see_to([plan()])
        await endpoint.until(lambda: discoveries.offered == {"a": (OfferedModel("m"),)})
    assert endpoint.asked == [("http://a.test", "k")]
    discoveries.see_to([plan(key="new")])
    # What it offered stays until it is known better.
    assert discoveries.offered == {"a": (OfferedModel("m"),)}
    await endpoint.until(lambda: len(endpoint.asked) == 2)
    discoveries.see_to([plan(url="http://b.test", key="new")])
    assert discoveries.offered == {}
    await endpoint.until(lambda: discoveries.offered == {"a": (OfferedModel("m"),)})
    assert endpoint.asked == [("http://a.test", "k"), ("http://a.test", "new"), ("http://b.test", "new")]


async def test_an_endpoint_that_is_gone_offers_nothing(discoveries: Discoveries, endpoint: Endpoint) -> None:
    discoveries.see_to([plan("a"), plan("b")])
    await endpoint.until(lambda: set(discoveries.offered) == {"a", "b"})
    discoveries.see_to([plan("b")])
    assert set(discoveries.offered) == {"b"}


async def test_it_is_asked_again_and_a_failure_takes_nothing_away(endpoint: Endpoint) -> None:
    discoveries = Discoveries(every_s=0.01, on_change=endpoint.changed.set)
    discoveries.see_to([plan()])
    await endpoint.until(lambda: discoveries.offered == {"a": (OfferedModel("m"),)})
    endpoint.offers = DiscoveryFailed("status 500")
    asked = len(endpoint.asked)
    await endpoint.until(lambda: len(endpoint.asked) >= asked + 3)
    assert discoveries.offered == {"a": (OfferedModel("m"),)}
    endpoint.offers = (OfferedModel("n"),)
    await endpoint.until(lambda: discoveries.offered == {"a": (OfferedModel("n"),)})
    await discoveries.close()


async def test_nobody_is_asked_when_it_is_switched_off(endpoint: Endpoint) -> None:
    discoveries = Discoveries(every_s=0, on_change=endpoint.changed.set)
    discoveries.see_to([plan()])
    await discoveries.close()
    assert endpoint.asked == []


async def test_no_key_shows_in_what_is_printed_of_it(discoveries: Discoveries) -> None:
    discoveries.see_to([plan(key="sk-of-an-endpoint")])
    assert "http://a.test" in repr(vars(discoveries))
    assert "sk-of-an-endpoint" not in repr(vars(discoveries))

"""The upstream's process for all tests here, and registries of models that it serves."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from exai.providers.base import ModelInfo
from exai.providers.echo import Echo
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.registry import Registry
from tests.upstream import Upstream

MakeRegistry = Callable[..., Registry]


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model that no other test uses."""
    return str(request.node.nodeid)


@pytest.fixture
async def serving(upstream: Upstream) -> AsyncIterator[MakeRegistry]:
    """Makes a registry of one vendor with these models, and the test model."""
    made: list[Registry] = []

    def serve(*models: ModelInfo) -> Registry:
        vendor = OpenAICompatible(
            name="vendor",
            base_url=upstream.url,
            key="sk-test-0123456789abcdef",
            key_setting="TEST_API_KEY",
            models=models,
            connect_timeout_s=5,
            read_timeout_s=5,
        )
        made.append(Registry([vendor, Echo()]))
        return made[-1]

    yield serve
    for registry in made:
        await registry.close()

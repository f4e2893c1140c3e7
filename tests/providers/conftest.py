"""The upstream's process, one for all tests here; each of them names a model of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.providers.asking import Endpoints
from tests.upstream import Upstream


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model that no other test uses."""
    return str(request.node.nodeid)


@pytest.fixture
async def endpoints(upstream: Upstream) -> AsyncIterator[Endpoints]:
    endpoints = Endpoints(upstream.url)
    yield endpoints
    await endpoints.close()

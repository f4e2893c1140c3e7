"""A Valkey of the tests' own, and both event loops that serve the hub, for the tests that depend on how a loop reads,
writes and keeps time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from tests.calls.own_valkey import OwnValkey, own_valkey
from tests.calls.rig import Rig, make_rig


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.stem.startswith("test_redis_link"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


@pytest.fixture
async def rig(valkey: OwnValkey) -> AsyncIterator[Rig]:
    with valkey.client() as client:
        client.flushall()
    rig = make_rig(valkey.url)
    await rig.process.start()
    yield rig
    await rig.process.stop()
    await rig.link.close()

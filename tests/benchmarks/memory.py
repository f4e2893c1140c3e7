"""Memory of an idle connection."""

import asyncio

from tests.benchmarks.load import in_sequence
from tests.benchmarks.processes import memory_bytes
from tests.benchmarks.sides import Measured, Setting, close_all, open_many

_WARM_UP_CALLS = 20
_SETTLE_S = 0.3


async def measure_memory(setting: Setting) -> None:
    """Comes first in a round, while the heaps of the fresh processes have no holes that connections could fill."""
    for hub in setting.hubs:
        await _measure(setting, hub)
    await _measure(setting, setting.echo)


async def _measure(setting: Setting, side: Measured) -> None:
    first = await side.connect()
    await in_sequence(first.chat, _WARM_UP_CALLS)  # what is loaded by the first call is not the connections' own
    before = memory_bytes(side.pid)
    count = setting.plan.idle_connections
    connections = await open_many(side.connect, count)
    await asyncio.sleep(_SETTLE_S)
    used = memory_bytes(side.pid) - before
    setting.samples.add("memory_per_connection", side.side, used / 1024 / count)
    await close_all([*connections, first])

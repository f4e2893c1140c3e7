"""How long a call takes, and how much of it is the hub's."""

import time
from collections.abc import Sequence
from functools import partial

from tests.benchmarks.figures import Side
from tests.benchmarks.load import Request, closed_loop, in_sequence, open_loop, percentile
from tests.benchmarks.rig import TRICKLING
from tests.benchmarks.sides import HubSide, Setting, close_all, open_many

_WARM_UP_CALLS = 20
_WARM_UP_S = 0.3


async def measure_one_connection(setting: Setting) -> None:
    connections = {hub.side: await hub.connect() for hub in setting.hubs}
    requests: dict[Side, Request] = {side: connection.chat for side, connection in connections.items()}
    requests["baseline"] = setting.direct.chat
    for request in requests.values():
        await in_sequence(request, _WARM_UP_CALLS)
    latencies: dict[Side, list[float]] = {side: [] for side in requests}
    for _ in range(setting.plan.blocks):
        for side, request in requests.items():
            latencies[side] += await in_sequence(request, setting.plan.calls_in_block)
    _add(setting, "chat", latencies, (50, 99))
    await close_all(list(connections.values()))


async def measure_half_of_capacity(setting: Setting, capacity: float) -> None:
    rate, slices = capacity / 2, setting.plan.slices
    connections = {hub.side: await open_many(hub.connect, setting.plan.connections) for hub in setting.hubs}
    requests: dict[Side, list[Request]] = {
        side: [connection.chat for connection in opened] for side, opened in connections.items()
    }
    requests["baseline"] = [setting.direct.chat]
    for side in requests:
        await closed_loop(requests[side], _WARM_UP_S)
        if side != "baseline":
            setting.samples.add("open_rate", side, rate)
    latencies: dict[Side, list[float]] = {side: [] for side in requests}
    for number in range(slices):
        seed = setting.number * slices + number  # the same arrivals for all sides
        for side in requests:
            latencies[side] += await open_loop(requests[side], rate, setting.plan.open_s / slices, seed)
    _add(setting, "open", latencies, (50, 99))
    for opened in connections.values():
        await close_all(opened)


async def measure_first_chunk(setting: Setting) -> None:
    connections = {hub.side: await hub.connect() for hub in setting.hubs}
    asks: dict[Side, Request] = {
        side: partial(connection.chat, TRICKLING, stream=True) for side, connection in connections.items()
    }
    asks["baseline"] = partial(setting.direct.chat, TRICKLING)
    for ask in asks.values():
        await ask()
    latencies: dict[Side, list[float]] = {side: [] for side in asks}
    for _ in range(setting.plan.blocks):
        for side, ask in asks.items():
            latencies[side] += await _first_chunks(ask, setting.plan.streamed_in_block)
    _add(setting, "first_chunk", latencies, (50,))
    await close_all(list(connections.values()))


async def measure_dead_vendor(setting: Setting, hub: HubSide) -> None:
    """Calls that leave the choice to the hub, whose first choice is a vendor that is down."""
    connection = await hub.connect()
    auto = partial(connection.chat, "auto")
    await in_sequence(auto, _WARM_UP_CALLS)  # the first of them open its breaker
    latencies: dict[Side, list[float]] = {hub.side: [], "baseline": []}
    for _ in range(setting.plan.blocks):
        latencies[hub.side] += await in_sequence(auto, setting.plan.calls_in_block)
        latencies["baseline"] += await in_sequence(setting.direct.chat, setting.plan.calls_in_block)
    _add(setting, "dead_vendor", latencies, (50, 99))
    await connection.close()


async def measure_list_tools(setting: Setting) -> None:
    count = setting.plan.listings
    size = 0
    for hub in setting.hubs:
        connection = await hub.connect()
        listing = await connection.list_tools()
        size = max(size, listing.size)
        setting.samples.add("list_tools_bytes", hub.side, listing.size)
        latencies = await in_sequence(connection.list_tools, count)
        setting.samples.add("list_tools_p50", hub.side, percentile(latencies, 50) * 1000)
        await connection.close()
    echo = await setting.echo.connect()
    latencies = await in_sequence(partial(echo.exchange, size), count)
    setting.samples.add("list_tools_p50", "baseline", percentile(latencies, 50) * 1000)
    await echo.close()


async def measure_listmodels(setting: Setting) -> None:
    for hub in setting.hubs:
        connection = await hub.connect()
        latencies = await in_sequence(partial(connection.call, "listmodels", {}), setting.plan.listings)
        for percent in (50, 99):
            setting.samples.add(f"listmodels_p{percent}", hub.side, percentile(latencies, percent) * 1000)
        await connection.close()


async def _first_chunks(ask: Request, count: int) -> list[float]:
    latencies = []
    for _ in range(count):
        began = time.perf_counter()
        latencies.append((await ask()).first - began)
    return latencies


def _add(setting: Setting, figure: str, latencies: dict[Side, list[float]], percents: Sequence[int]) -> None:
    """These percentiles of each side, and what each hub adds to those of the baseline, in ms."""
    for percent in percents:
        name = f"p{percent}"
        values = {side: percentile(latencies[side], percent) * 1000 for side in latencies}
        for side, value in values.items():
            setting.samples.add(f"{figure}_{name}", side, value)
            if side != "baseline":
                setting.samples.add(f"{figure}_added_{name}", side, value - values["baseline"])

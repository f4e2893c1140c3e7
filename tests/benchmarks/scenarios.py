"""What an agent notices: calls side by side, an answer while another call takes long, chunks, a cancel, a crowd."""

import asyncio
import time
from functools import partial
from typing import Any

from tests.benchmarks.connections import HubConnection
from tests.benchmarks.load import Request
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.rig import CHUNKS, CROWDED, ENDLESS, FIRST_LONG, LONG, MANY_CHUNKS, SLOW
from tests.benchmarks.sides import HubSide, Setting, close_all, open_many

_PARALLEL_CHATS = 9
_VERSION_EVERY_S = 0.05
_STREAMS = 6
_CANCEL_AFTER_S = 0.1
_ACTIVE_ONE_IN = 5


async def measure_parallel_chats(setting: Setting) -> None:
    for hub in setting.hubs:
        connection = await hub.connect()
        await connection.chat()
        setting.samples.add("parallel_chats", hub.side, await _all_at_once(partial(connection.chat, SLOW)))
        await connection.close()
    setting.samples.add("parallel_chats", "baseline", await _all_at_once(partial(setting.direct.chat, SLOW)))


async def measure_version_during_a_long_call(setting: Setting) -> None:
    model = LONG if setting.number else FIRST_LONG
    for hub in setting.hubs:
        connection = await hub.connect()
        long_call = asyncio.create_task(connection.chat(model))
        slowest = await _slowest_version(connection, until=long_call)
        await long_call
        setting.samples.add("version_slowest", hub.side, slowest)
        if hub.side == "hub":
            idle = asyncio.create_task(asyncio.sleep(setting.plan.long_call_s))
            setting.samples.add("version_slowest", "baseline", await _slowest_version(connection, until=idle))
        await connection.close()


async def measure_chunks(setting: Setting) -> None:
    """What a chunk of a streamed answer costs the web process, sent and kept."""
    for hub in setting.hubs:
        connection = await hub.connect()
        await connection.chat(MANY_CHUNKS, stream=True)
        before = cpu_seconds(hub.pid)
        for _ in range(_STREAMS):
            await connection.chat(MANY_CHUNKS, stream=True)
        used_s = cpu_seconds(hub.pid) - before
        setting.samples.add("cpu_per_chunk", hub.side, used_s / (_STREAMS * CHUNKS) * 1e6)
        await connection.close()


async def measure_cancel(setting: Setting) -> None:
    for hub in setting.hubs:
        connection = await hub.connect()
        seen = len(await asyncio.to_thread(setting.upstream.disconnects, ENDLESS))
        cancelled_at = await connection.cancel_after(ENDLESS, _CANCEL_AFTER_S)
        closed: list[float] = []
        while len(closed) <= seen:
            closed = await asyncio.to_thread(setting.upstream.disconnects, ENDLESS)
        setting.samples.add("cancel_to_closed", hub.side, max(0.01, (closed[-1] - cancelled_at) * 1000))
        await connection.close()


async def measure_crowd(setting: Setting, crowded: HubSide) -> None:
    """The longest that a call under way was silent while one process had all its connections."""
    connections = await open_many(crowded.connect, setting.plan.connected)
    active = connections[::_ACTIVE_ONE_IN]
    await asyncio.gather(*(connection.chat(CROWDED) for connection in active))
    setting.samples.add("longest_silence", "hub", max(connection.longest_silence_s for connection in active))
    await close_all(connections)


async def _all_at_once(request: Request) -> float:
    """Seconds until the last of them is answered."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(request() for _ in range(_PARALLEL_CHATS)))
    return max(answer.end for answer in answers) - began


async def _slowest_version(connection: HubConnection, until: asyncio.Future[Any]) -> float:
    """The longest that `version` took on this connection, in ms."""
    slowest = 0.0
    while not until.done():
        began = time.perf_counter()
        answer = await connection.call("version", {})
        slowest = max(slowest, answer.end - began)
        await asyncio.wait([until], timeout=_VERSION_EVERY_S)
    return slowest * 1000

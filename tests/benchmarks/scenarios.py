"""Two things that an agent notices: calls that run side by side, and an answer while another call takes long."""

import asyncio
import time
from functools import partial
from typing import Any

from tests.benchmarks.connections import HubConnection
from tests.benchmarks.load import Request
from tests.benchmarks.rig import FIRST_LONG, LONG, SLOW
from tests.benchmarks.sides import Setting

_PARALLEL_CHATS = 9
_VERSION_EVERY_S = 0.05


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

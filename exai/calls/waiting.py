"""Waiting for slots that Redis gives as they come free (lua/slots.lua)."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from exai.calls import keys
from exai.calls.process import Process
from exai.calls.redis_link import RedisAway, RedisLink

_POLL_S = 1.0  # for a grant whose message got lost


class Grant(Enum):
    GIVEN = "the slots are taken"
    FORGOTTEN = "Redis knows nothing of the one who waits: ask again"


class Grants:
    def __init__(self, link: RedisLink, process: Process) -> None:
        self._link = link
        self._waiting: dict[str, asyncio.Future[None]] = {}
        process.on("granted", self._on_granted)

    @contextmanager
    def expected(self, holder: str) -> Iterator[None]:
        """To be entered before slots are asked for: they may come free before the answer, that one has to wait for
        them, is read."""
        self._waiting[holder] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._waiting[holder]

    async def wait(self, pool: str, holder: str, *, give_up_at: float) -> Grant:
        """`give_up_at` on the loop's clock; for a holder that is `expected`. Raises `TimeoutError` or `RedisAway`."""
        loop, granted = asyncio.get_running_loop(), self._waiting[holder]
        while True:
            left_s = give_up_at - loop.time()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.wait({granted}, timeout=min(_POLL_S, left_s))
            if granted.done() or await self._has_slot(pool, holder):
                return Grant.GIVEN
            if not await self._link.command("HEXISTS", keys.waiting(pool), holder):
                # Given in this very moment, or lost.
                return Grant.GIVEN if await self._has_slot(pool, holder) else Grant.FORGOTTEN

    async def retry_after_s(self, pool: str) -> int:
        """As long as those that wait need to get their turn, by how long slots were held lately; whole seconds."""
        held_ms, waiting, taken = 1000.0, 1, 1
        try:
            held_ms = float(await self._link.command("GET", keys.held_ms(pool)) or 1000)
            waiting = int(await self._link.command("HLEN", keys.waiting(pool)))
            taken = max(1, int(await self._link.command("ZCARD", pool)))
        except RedisAway:
            pass
        return max(1, math.ceil(held_ms / 1000 * (1 + waiting / taken)))

    async def _has_slot(self, pool: str, holder: str) -> bool:
        return await self._link.command("ZSCORE", pool, holder) is not None

    def _on_granted(self, holder: str) -> None:
        granted = self._waiting.get(holder)
        if granted is not None and not granted.done():
            granted.set_result(None)

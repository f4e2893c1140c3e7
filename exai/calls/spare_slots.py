"""Slots that a process has taken in Redis and keeps for its next request, while nobody else waits for one.

Most requests then need no round trip for their slot. A spare one is counted like any other, so that no limit is
exceeded; it is given back as soon as anybody waits for a slot of its pool, and when it was of no use for a while.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from exai.calls.process import Process
from exai.calls.redis_link import RedisLink

_SHARE = 4  # of so many slots a process keeps one to spare at most


class SpareSlots:
    """`give_back` is called with a pool and a holder."""

    def __init__(self, link: RedisLink, process: Process, give_back: Callable[[str, str], None]) -> None:
        self._link = link
        self._process = process
        self._give_back = give_back
        self._spare: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)  # holder, since when
        self._wanted_until: dict[str, float] = {}
        self._losses = link.losses
        self._renewed_at = 0.0  # by the loop's clock
        process.on("wanted", self._on_wanted)
        process.on_beat(self._on_beat)

    def take(self, pool: str) -> str | None:
        """The holder of a spare slot, which is the caller's now."""
        self._forget_what_ran_out()
        spare = self._spare.get(pool)
        return spare.pop()[0] if spare else None

    def keep(self, pool: str, holder: str, *, most: int) -> bool:
        """Whether the slot is kept; else it is to be given back."""
        self._forget_what_ran_out()
        now, spare = asyncio.get_running_loop().time(), self._spare[pool]
        is_wanted = now < self._wanted_until.get(pool, 0.0)
        if is_wanted or self._link.away or len(spare) >= max(1, most // _SHARE):
            return False
        spare.append((holder, now))
        return True

    def _on_wanted(self, pool: str) -> None:
        # The next sign of life says so again for as long as anybody waits.
        self._wanted_until[pool] = asyncio.get_running_loop().time() + self._process.lease_ms / 1000
        for holder, _ in self._spare.pop(pool, ()):
            self._give_back(pool, holder)

    def _on_beat(self) -> None:
        self._forget_what_ran_out()
        now = asyncio.get_running_loop().time()
        self._renewed_at, before = now, now - self._process.lease_ms / 4000
        for pool, spare in list(self._spare.items()):
            for holder, since in spare:
                if since < before:
                    self._give_back(pool, holder)
            self._spare[pool] = [kept for kept in spare if kept[1] >= before]

    def _forget_what_ran_out(self) -> None:
        """What was not renewed in time, for the connection broke or this process stood still, may be another's."""
        age_s = asyncio.get_running_loop().time() - self._renewed_at
        if self._losses == self._link.losses and age_s < self._process.lease_ms / 1000:
            return
        self._losses = self._link.losses
        for pool, spare in list(self._spare.items()):
            for holder, _ in spare:
                self._give_back(pool, holder)
        self._spare.clear()

"""Limits of this process alone, for while Redis is away: half of the configured ones, since others do the same."""

import asyncio
from collections import Counter, deque

from exai.calls.limits import Bucket, Slot

_SHARE = 0.5


class LocalBuckets:
    def __init__(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, buckets: tuple[Bucket, ...]) -> tuple[str, float] | None:
        """One token of each; else the bucket that has none and the seconds until it has."""
        now = asyncio.get_running_loop().time()
        taken = {}
        for bucket in buckets:
            tokens, at = self._levels.get(bucket.key, (bucket.capacity * _SHARE, now))
            tokens = min(bucket.capacity * _SHARE, tokens + (now - at) * bucket.refill * _SHARE)
            if tokens < 1:
                return bucket.key, (1 - tokens) / (bucket.refill * _SHARE)
            taken[bucket.key] = (tokens - 1, now)
        self._levels |= taken
        return None

    def forget(self) -> None:
        """Redis counts again."""
        self._levels.clear()


class LocalSlots:
    """Slots given to those that wait in the order in which they came, passing over who is at limits of its own."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._waiting: deque[tuple[tuple[Slot, ...], asyncio.Future[None]]] = deque()

    def try_take(self, slots: tuple[Slot, ...]) -> bool:
        if not self._has_room(slots):
            return False
        self._count(slots)
        return True

    async def wait(self, slots: tuple[Slot, ...], *, within_s: float) -> None:
        """Takes the slots as soon as they are free. Raises `TimeoutError`."""
        waiter = (slots, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(within_s):
                await waiter[1]
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self.give_back(slots)  # they were given in the same moment
            raise

    def give_back(self, slots: tuple[Slot, ...]) -> None:
        for slot in slots:
            self._taken[slot.key] -= 1
            if not self._taken[slot.key]:
                del self._taken[slot.key]
        for waiter in list(self._waiting):
            wanted, free = waiter
            if not free.done() and self._has_room(wanted):
                self._waiting.remove(waiter)
                self._count(wanted)
                free.set_result(None)

    def _has_room(self, slots: tuple[Slot, ...]) -> bool:
        return all(self._taken[slot.key] < max(1, slot.most * _SHARE) for slot in slots)

    def _count(self, slots: tuple[Slot, ...]) -> None:
        for slot in slots:
            self._taken[slot.key] += 1

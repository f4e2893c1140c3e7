"""Limits of this process alone, for while Redis is away: half of the configured ones, since others do the same."""

import asyncio
from collections import Counter, deque

from exai.calls.limits import Bucket, CallLimits

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
    """Slots for calls, given to those that wait in the order in which they came, passing over full sessions."""

    def __init__(self) -> None:
        self._in_all = 0
        self._in_session: Counter[str] = Counter()
        self._waiting: deque[tuple[str, CallLimits, asyncio.Future[None]]] = deque()

    def try_take(self, session: str, limits: CallLimits) -> bool:
        if not self._has_room(session, limits):
            return False
        self._count(session)
        return True

    async def wait(self, session: str, limits: CallLimits, *, within_s: float) -> None:
        """Takes a slot as soon as one is free. Raises `TimeoutError`."""
        waiter = (session, limits, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(within_s):
                await waiter[2]
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self.give_back(session)  # it was given in the same moment
            raise

    def give_back(self, session: str) -> None:
        self._in_all -= 1
        self._in_session[session] -= 1
        if not self._in_session[session]:
            del self._in_session[session]
        for waiter in list(self._waiting):
            next_session, limits, free = waiter
            if not free.done() and self._has_room(next_session, limits):
                self._waiting.remove(waiter)
                self._count(next_session)
                free.set_result(None)

    def _has_room(self, session: str, limits: CallLimits) -> bool:
        return self._in_all < max(1, limits.all * _SHARE) and self._in_session[session] < max(
            1, limits.session * _SHARE
        )

    def _count(self, session: str) -> None:
        self._in_all += 1
        self._in_session[session] += 1

"""A sign of life at a fixed interval, for as long as its owner has nothing else to say."""

import asyncio
from collections.abc import Awaitable, Callable


class Heartbeat:
    def __init__(self, beat: Callable[[], Awaitable[None]], *, interval_s: float) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._due)

    async def stop(self) -> None:
        """Returns when no beat is on its way any more, so that what follows comes last."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beating is not None:
            await self._beating

    def _due(self) -> None:
        # A reader so slow that the last beat is still on its way gets no second one.
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._beat())
        self.start()

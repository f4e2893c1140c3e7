"""The time that a call may take. It stands still while the call waits for a slot of a provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from exai.gateway.running_call import RunningCall


class CallClock:
    """Implements `exai.providers.base.Asker`. Entered around the work: raises `TimeoutError` when the time is over.

    `timeout_s`: the time that there is in all.
    """

    def __init__(self, call: RunningCall, *, timeout_s: float) -> None:
        self.session = call.session
        self.stood_still_s = 0.0
        self.timeout_s = timeout_s
        self._tool_s = timeout_s
        self._call = call
        self._timeout = asyncio.timeout(timeout_s)
        self._waiting = 0
        self._stopped_at = 0.0
        self._left_s = timeout_s

    @property
    def has_run_out(self) -> bool:
        return self._timeout.expired()

    @property
    def left_s(self) -> float:
        ends_at = self._timeout.when()
        return 0.0 if ends_at is None else ends_at - asyncio.get_running_loop().time()

    def left_for(self, factor: float) -> float:
        """Implements `exai.tools.context.TimeLimit`: a slow model's call may take longer, and so may the whole call."""
        wanted_s = self._tool_s * factor
        left_s = self._left_s if self._waiting else self.left_s
        left_s += wanted_s - self.timeout_s
        if wanted_s > self.timeout_s:
            self.timeout_s = wanted_s
            if self._waiting:
                self._left_s = left_s
            else:
                self._timeout.reschedule(asyncio.get_running_loop().time() + left_s)
        return left_s

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def waiting(self, reason: str) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if self._waiting == 0:
            self._stopped_at, self._left_s = loop.time(), self.left_s
            self._timeout.reschedule(None)
        self._waiting += 1
        try:
            async with self._call.stage(reason):
                yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self.stood_still_s += loop.time() - self._stopped_at
                self._timeout.reschedule(loop.time() + self._left_s)

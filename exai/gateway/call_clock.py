"""The time that a call may take. It stands still while the call waits for a slot of a provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from exai.gateway.running_call import RunningCall


class CallClock:
    """Implements `exai.providers.base.Asker`. Entered around the work: raises `TimeoutError` when the time is over."""

    def __init__(self, call: RunningCall, *, timeout_s: float) -> None:
        self.session = call.session
        self.stood_still_s = 0.0
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

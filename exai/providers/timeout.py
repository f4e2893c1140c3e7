"""Bounds the time of an answer, all attempts at it together: by one timer, whatever number of events come.

The silence of a vendor, before its first byte and between bytes, is bounded where bytes are seen: at its socket. A
vendor that thinks in silence may send signs of life there, which are no events.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

import msgspec

from exai.protocol.errors import CallTimeout
from exai.providers.base import AnswerEvent, Asker, ModelRequest
from exai.providers.wrapper import Wrapper


class TimeLimited(Wrapper):
    """Raises `CallTimeout` once `ModelRequest.timeout_s` have passed, and closes the connection to the vendor."""

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        if request.timeout_s is None:
            async with aclosing(self._provider.ask(request)) as events:
                async for event in events:
                    yield event
            return
        timer = _Timer(request.timeout_s, request.asker)
        try:
            async with aclosing(self._provider.ask(msgspec.structs.replace(request, asker=timer))) as events:
                timer.waits = True
                async for event in events:
                    timer.waits = False
                    yield event
                    if timer.has_rung:
                        raise self._late(request.timeout_s)
                    timer.waits = True
        except asyncio.CancelledError:
            if timer.takes_back_its_cancel():
                raise self._late(request.timeout_s) from None
            raise
        finally:
            timer.stop()
            timer.takes_back_its_cancel()

    def _late(self, timeout_s: float) -> CallTimeout:
        return CallTimeout(
            f"{self.name} did not end its answer within the {round(timeout_s, 1):g} seconds that there were.",
            provider=self.name,
            timeout_s=round(timeout_s, 1),
        )


class _Timer:
    """Cancels the task when it rings, but only while that waits for the provider: while the events' reader is at work
    in the same task, the cancel would be taken for the reader's own.

    It stands still while the provider has no place, and so implements `exai.providers.base.Asker`.
    """

    def __init__(self, seconds: float, asker: Asker | None) -> None:
        self.session = asker.session if asker else ""
        self._asker = asker
        self.waits = False
        self.has_rung = False
        self._has_cancelled = False
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a provider is asked by a task")
        self._task = task
        self._cancels_before = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(seconds, self._ring)

    def stop(self) -> None:
        self._handle.cancel()

    @asynccontextmanager
    async def waiting(self, reason: str) -> AsyncIterator[None]:
        self._handle.cancel()
        left_s = self._handle.when() - self._loop.time()
        try:
            async with self._asker.waiting(reason) if self._asker else nullcontext():
                yield
        finally:
            self._handle = self._loop.call_later(left_s, self._ring)

    def takes_back_its_cancel(self) -> bool:
        """Whether the task was cancelled by this timer and nobody else. Once; the second time there is none."""
        if not self._has_cancelled:
            return False
        self._has_cancelled = False
        return self._task.uncancel() <= self._cancels_before

    def _ring(self) -> None:
        self.has_rung = True
        if self.waits:
            self._has_cancelled = True
            self._task.cancel()

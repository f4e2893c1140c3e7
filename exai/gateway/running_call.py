"""One call as its caller sees it: the frames that are sent for it, in the order that the protocol promises."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from exai.gateway.authentication import AuthenticatedClient
from exai.protocol.frames import (
    CallToolAck,
    CallToolResult,
    Progress,
    RequestId,
    StreamChunk,
    StreamComplete,
)
from exai.protocol.ids import time_ordered_uuid
from exai.protocol.values import LatencyMetrics

Send = Callable[[msgspec.Struct], Awaitable[None]]


def utc_timestamp() -> str:
    return datetime.now(UTC).isoformat()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


class CallRequest(msgspec.Struct, frozen=True):
    request_id: RequestId
    tool_name: str
    arguments: msgspec.Raw
    client: AuthenticatedClient


class RunningCall:
    """`send` must take frames whether or not the connection still lives: a lost one does not stop a call."""

    def __init__(self, request: CallRequest, send: Send, *, heartbeat_s: float) -> None:
        self.request = request
        self.id: uuid.UUID = time_ordered_uuid()
        self.started_at = datetime.now(UTC)
        self.started = time.perf_counter()
        self.task: asyncio.Task[None] | None = None
        self.may_be_cancelled = True
        self.tool_name = ""  # once it is known to exist
        self.streams = False
        self.conversation_id: int | None = None
        self.model = ""
        self.provider = ""
        self.queue_s = 0.0
        self.provider_s = 0.0
        self._send = send
        self._heartbeat_s = heartbeat_s
        self._stage = ""
        self._chunks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None

    async def acknowledge(self, *, timeout_s: float) -> None:
        await self._send(
            CallToolAck(
                request_id=self.request.request_id,
                accepted=True,
                timeout=timeout_s,
                name=self.tool_name,
                call_id=str(self.id),
            )
        )
        self._schedule_beat()

    def cancel(self) -> bool:
        """Stops the call, unless it has ended already; whether it did."""
        if self.task is None or not self.may_be_cancelled:
            return False
        self.may_be_cancelled = False
        return self.task.cancel()

    def latency(self) -> LatencyMetrics:
        total_s = time.perf_counter() - self.started
        return LatencyMetrics(
            latency_ms=_milliseconds(total_s),
            queue_ms=_milliseconds(self.queue_s),
            provider_ms=_milliseconds(self.provider_s),
            processing_ms=_milliseconds(max(0.0, total_s - self.queue_s - self.provider_s)),
            provider_name=self.provider,
        )

    async def wait_for_conversation(self) -> None:
        await self.progress("Waiting for another call on this conversation")

    def when_done(self, callback: Callable[[], object]) -> None:
        if self.task is not None:
            self.task.add_done_callback(lambda _: callback())

    async def progress(self, message: str) -> None:
        """The stage has changed."""
        self._stage = message
        await self._send(self._progress_frame())

    async def chunk(self, text: str) -> None:
        frame = StreamChunk(
            request_id=self.request.request_id, index=self._chunks, chunk=text, timestamp=utc_timestamp()
        )
        self._chunks += 1
        await self._send(frame)

    async def end(self, result: CallToolResult) -> None:
        await self._stop_heartbeat()
        if self.streams:
            await self._send(StreamComplete(request_id=self.request.request_id, timestamp=utc_timestamp()))
        await self._send(result)

    def _progress_frame(self) -> Progress:
        return Progress(
            request_id=self.request.request_id, name=self.tool_name, t=time.time(), message=self._stage or None
        )

    def _schedule_beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat_s, self._start_beat)

    def _start_beat(self) -> None:
        # A reader so slow that the last beat is still on its way gets no second one.
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._send(self._progress_frame()))  # type: ignore[arg-type]
        self._schedule_beat()

    async def _stop_heartbeat(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            await self._beat  # so that the result comes last

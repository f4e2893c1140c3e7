"""One call as its caller sees it: the frames that are sent for it, in the order that the protocol promises."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from exai.calls.admission import AskedCall
from exai.gateway.authentication import AuthenticatedClient
from exai.gateway.call_budget import CallBudget
from exai.gateway.heartbeat import Heartbeat
from exai.protocol.codec import encode
from exai.protocol.frames import CallToolAck, CallToolResult, Progress, RequestId, StreamChunk, StreamComplete
from exai.protocol.ids import time_ordered_uuid
from exai.protocol.values import LatencyMetrics
from exai.providers.budget import Spending


def utc_timestamp() -> str:
    return datetime.now(UTC).isoformat()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


class Caller(Protocol):
    """The connection that a call came by."""

    id: str
    session_id: str
    limited_address: str  # empty: loopback, which has no limits of its own

    async def send_text(self, text: str) -> None:
        """Must take frames whether or not the connection still lives: a lost one does not stop a call."""
        ...

    def await_delivery(self, call_id: str) -> None:
        """The result of the call was sent: it has arrived once the client is heard of again."""
        ...

    def is_attached(self, call_id: str, request_id: RequestId) -> bool:
        """Whether the connection already gets the frames of that call, under that request_id."""
        ...

    @property
    def is_open(self) -> bool: ...


class CallRequest(msgspec.Struct, frozen=True):
    request_id: RequestId
    tool_name: str
    arguments: msgspec.Raw
    client: AuthenticatedClient


class RunningCall:
    """`keep` takes every frame that a caller who comes back later would miss."""

    def __init__(
        self,
        request: CallRequest,
        caller: Caller,
        *,
        keep: Callable[[str, str], None],
        heartbeat_s: float,
        timeout_s: float,
    ) -> None:
        self.request = request
        self.caller = caller
        self.id: uuid.UUID = time_ordered_uuid()
        self.started_at = datetime.now(UTC)
        self.started = time.perf_counter()
        self.task: asyncio.Task[None] | None = None
        self.asked: AskedCall | None = None  # once it is known to be valid
        self.attached_to: str | None = None  # the call whose frames answer this one
        self.placed = asyncio.Event()  # it is known whether it runs by itself or another call answers it
        self.has_begun = False
        self.is_stopped = False
        self.is_concluded = False
        self.stays_listed = False  # in Redis, until its record is written
        self.may_be_cancelled = True
        self.tool_name = ""  # once it is known to exist
        self.streams = False
        self.conversation_id: int | None = None
        self.continuation_id = uuid.uuid4()  # of the conversation that it begins, unless it continues one
        self.model = ""
        self.provider = ""
        self.spending = Spending()
        self.budget: CallBudget | None = None
        self.queue_s = 0.0
        self.provider_s = 0.0
        self._keep = keep
        self._timeout_s = timeout_s
        self._heartbeat = Heartbeat(self._beat, interval_s=heartbeat_s)
        self._acknowledged = False
        self._stage = ""
        self._chunks = 0

    @property
    def session(self) -> str:
        """The caller's session, named with its client."""
        return f"{self.request.client.id}:{self.caller.session_id}"

    async def acknowledge(self) -> None:
        """Does nothing the second time."""
        if self._acknowledged:
            return
        self._acknowledged = True
        self.placed.set()
        await self._send(
            CallToolAck(
                request_id=self.request.request_id,
                accepted=True,
                timeout=self._timeout_s,
                name=self.tool_name,
                call_id=str(self.id),
            )
        )
        self._heartbeat.start()

    def cancel(self) -> bool:
        """Stops the call, unless it has ended already; whether it did."""
        if self.task is None or not self.may_be_cancelled:
            return False
        self.may_be_cancelled = False
        self.stop()
        return True

    def stop(self) -> None:
        """Cancels the call's task. One that has not begun would end without a word: it begins, and ends at once."""
        if self.task is not None and self.has_begun:
            self.task.cancel()
        self.is_stopped = True

    def latency(self) -> LatencyMetrics:
        total_s = time.perf_counter() - self.started
        return LatencyMetrics(
            latency_ms=_milliseconds(total_s),
            queue_ms=_milliseconds(self.queue_s),
            provider_ms=_milliseconds(self.provider_s),
            processing_ms=_milliseconds(max(0.0, total_s - self.queue_s - self.provider_s)),
            provider_name=self.provider,
        )

    async def wait(self, reason: str) -> None:
        """The call has to wait before it may run."""
        await self.acknowledge()
        await self.progress(reason)

    def settle_budget(self) -> None:
        """The call is on record: what it held of its budgets is free, what it used is counted."""
        if self.budget is not None:
            self.budget.settle()

    def when_done(self, callback: Callable[[], object]) -> None:
        if self.task is not None:
            self.task.add_done_callback(lambda _: callback())

    async def progress(self, message: str) -> None:
        """The stage has changed."""
        self._stage = message
        await self._send(self._progress_frame())

    @asynccontextmanager
    async def stage(self, message: str) -> AsyncIterator[None]:
        """A stage within another, to which the call returns."""
        before = self._stage
        await self.progress(message)
        yield
        if before:
            await self.progress(before)

    async def chunk(self, text: str) -> None:
        frame = StreamChunk(
            request_id=self.request.request_id, index=self._chunks, chunk=text, timestamp=utc_timestamp()
        )
        self._chunks += 1
        await self._send(frame)

    def conclude(self, result: CallToolResult) -> list[str]:
        """The last frames, the result's last. They are kept before they are sent: a reader may never take them."""
        self.is_concluded = True
        self.placed.set()
        texts = [encode(result)]
        if self.streams and self._acknowledged:
            complete = encode(StreamComplete(request_id=self.request.request_id, timestamp=utc_timestamp()))
            self._keep(str(self.id), complete)
            texts.insert(0, complete)
        return texts

    def attach_to(self, call_id: str) -> None:
        """That call answers this one."""
        self.attached_to = call_id
        self.placed.set()

    async def fall_silent(self) -> None:
        """What the caller still hears comes from elsewhere, or is the end."""
        await self._heartbeat.stop()

    async def deliver(self, texts: list[str]) -> None:
        await self.fall_silent()
        for text in texts:
            await self.caller.send_text(text)
        self.caller.await_delivery(str(self.id))

    def _progress_frame(self) -> Progress:
        return Progress(
            request_id=self.request.request_id, name=self.tool_name, t=time.time(), message=self._stage or None
        )

    async def _beat(self) -> None:
        await self.caller.send_text(encode(self._progress_frame()))

    async def _send(self, frame: msgspec.Struct) -> None:
        text = encode(frame)
        self._keep(str(self.id), text)
        await self.caller.send_text(text)

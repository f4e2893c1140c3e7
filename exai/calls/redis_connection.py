"""One connection to Redis on the event loop: commands of all coroutines written together, replies matched in order."""

import asyncio
import contextvars
import re
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from exai.calls.redis_address import RedisAddress

# What Redis has not read yet and what waits to be written, each.
MOST_UNSENT_BYTES = 64 * 1024 * 1024
# An idle connection is tried so often, so that a Redis that hangs or a broken network is known before a call needs it.
HEARTBEAT_S = 5.0
# After this process itself stood still, replies lie unread in the socket when the watch says that they are late.
_LAZY_S = 0.002
_GRACE_S = 0.02

Part = str | bytes | int | float
Receiver = asyncio.Future[Any] | Callable[[Any], None]

# The published type means a tuple of one element.
pack: Callable[[tuple[Part, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_PING = pack(("PING",))
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?= |$)")


class RedisAway(Exception):
    """Redis could not be reached in the time there was."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Redis is away: {reason}")
        self.reason = reason


class RedisRefused(Exception):
    """Redis refused a command. `code` is the first word of its message: WRONGTYPE, NOSCRIPT, ERR."""

    def __init__(self, message: str) -> None:
        # The arguments that Redis repeats after an unknown command may be secret.
        super().__init__(message.partition(", with args beginning with")[0])
        found = _CODE.match(message)
        self.code = found[0] if found else "ERR"


def ignore_reply(_: Any) -> None:
    """The receiver of a reply that nobody wants."""


class RedisConnection(asyncio.Protocol):
    """To be opened once. Commands may be given before: they are written once Redis has accepted the connection.

    A connection on which a reply is late is dropped as a whole: nothing else would keep replies and commands in step.
    `on_lost` is called once, at once, when it can no longer be used. Messages of channels go to `on_message`.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        patience_s: float,
        on_lost: Callable[["RedisConnection", str], None],
        on_message: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        self.ready = False
        self.loaded_scripts: set[str] = set()
        self._address = address
        self._patience_s = patience_s
        self._on_lost = on_lost
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.Context()
        self._reader = hiredis.Reader(replyError=RedisRefused, errors="replace", notEnoughData=...)
        self._waiting: deque[tuple[float, Receiver]] = deque()
        self._outgoing: list[bytes] = []
        self._unsent = 0
        self._batch_at = 0.0
        self._flushes_soon = False
        self._flush_timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._overdue = False
        self._lost: str | None = None
        self._gone = asyncio.Event()

    async def open(self) -> None:
        """Raises `RedisAway` when Redis did not accept the connection within the patience there is."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._address.connect(self)
                await self._introduce()
        except RedisAway as error:
            self.drop(error.reason)
        except TimeoutError:
            self.drop("it does not answer")
        except Exception as error:  # whatever hinders a connection, it is tried again
            self.drop(type(error).__name__)
        except BaseException:
            self.drop("the connection is closed")
            raise
        if self._lost is not None:
            raise RedisAway(self._lost)

    def ask(self, packet: bytes, *, lazily: bool = False) -> asyncio.Future[Any]:
        """The future reply of a packed command. Cancelling it leaves replies and commands in step."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.post(packet, future, lazily=lazily)
        return future

    def post(self, packet: bytes, receiver: Receiver, *, lazily: bool = False) -> None:
        """The receiver gets the reply, also one that refuses; if it is no future, it learns nothing of a loss.

        A command that is sent `lazily` goes with the next one that is not, or by itself a moment later: to write costs
        more than all else of a command.
        """
        if not self._outgoing:
            self._begin_batch()
        elif self._unsent > MOST_UNSENT_BYTES:
            self.drop("too much waits to be sent")
            raise RedisAway("too much waits to be sent")
        self._outgoing.append(packet)
        self._unsent += len(packet)
        self._waiting.append((self._batch_at, receiver))
        if self.ready:
            self._flush_later() if lazily else self._flush_soon()

    def drop(self, reason: str) -> None:
        """All that wait get `RedisAway`."""
        if self._lost is not None:
            return
        self._lost, self.ready = reason, False
        for timer in (self._watch, self._heartbeat, self._flush_timer):
            if timer is not None:
                timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._on_lost(self, reason)
        waiting = list(self._waiting)
        self._waiting.clear()
        self._outgoing.clear()
        for _, receiver in waiting:
            if isinstance(receiver, asyncio.Future) and not receiver.done():
                receiver.set_exception(RedisAway(reason))

    async def close(self) -> None:
        """What was sent before is still read by Redis, if it reads."""
        if self._lost is None:
            # That it is lost meanwhile, or cannot be opened, is no failure of closing it.
            await asyncio.gather(self.ask(_PING), return_exceptions=True)
        self.drop("the connection is closed")
        if self._transport is not None:
            await self._gone.wait()

    def _begin_batch(self) -> None:
        if self._lost is not None:
            raise RedisAway(self._lost)
        self._batch_at = self._loop.time()
        if self._watch is None:
            self._watch_until(self._batch_at + self._patience_s)

    def _flush_soon(self) -> None:
        """Once a turn of the loop. A context of our own: copying the caller's costs more, and is of no use."""
        if not self._flushes_soon:
            self._flushes_soon = True
            self._loop.call_soon(self._flush, context=self._context)

    def _flush_later(self) -> None:
        if not self._flushes_soon and self._flush_timer is None:
            self._flush_timer = self._loop.call_later(_LAZY_S, self._flush, context=self._context)

    def _flush(self) -> None:
        self._flushes_soon = False
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._transport is None or self._lost is not None or not self._outgoing:
            return
        if self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.drop("it does not read what it is sent")
            return
        packets, self._outgoing, self._unsent = self._outgoing, [], 0
        self._transport.write(b"".join(packets))

    async def _introduce(self) -> None:
        steps = self._address.introduction()
        replies: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in steps]
        if self._transport is None or self._lost is not None:
            raise RedisAway(self._lost or "it closed the connection")
        # Before the commands that were given already; none of those has been written.
        self._waiting.extendleft((self._loop.time(), reply) for reply in reversed(replies))
        self._transport.write(b"".join(pack(command) for _, command in steps))
        answers = await asyncio.gather(*replies, return_exceptions=True)
        for (what, _), answer in zip(steps, answers, strict=True):
            if isinstance(answer, RedisRefused):
                # Only the code: some servers repeat the arguments.
                raise RedisAway(f"it refuses {what} ({answer.code})")
            if isinstance(answer, BaseException):
                raise answer
        self.ready = True
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat, context=self._context)
        if self._outgoing:
            self._flush()

    def _watch_until(self, when: float) -> None:
        self._watch = self._loop.call_at(when, self._look, context=self._context)

    def _look(self) -> None:
        """One timer for all commands, set to when the oldest one's reply is late."""
        self._watch = None
        if not self._waiting:
            return
        now, late_at = self._loop.time(), self._waiting[0][0] + self._patience_s
        if now >= late_at and self._overdue:
            self.drop("it does not answer")
            return
        self._overdue = now >= late_at
        self._watch_until(now + _GRACE_S if self._overdue else late_at)

    def _beat(self) -> None:
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat, context=self._context)
        if not self._waiting:
            self.post(_PING, ignore_reply)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but not the class.
        self._transport = cast(asyncio.Transport, transport)
        if self._lost is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.drop(type(error).__name__ if error else "it closed the connection")
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        reader, waiting, on_message = self._reader, self._waiting, self._on_message
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not ...:
                if on_message is not None and type(reply) is list and reply and reply[0] == b"message":
                    on_message(reply[1], reply[2])
                    continue
                if not waiting:
                    self.drop("it sent a reply to no command")
                    return
                receiver = waiting.popleft()[1]
                if not isinstance(receiver, asyncio.Future):
                    receiver(reply)
                elif receiver.done():
                    continue  # its waiter was cancelled
                elif isinstance(reply, RedisRefused):
                    receiver.set_exception(reply)
                else:
                    receiver.set_result(reply)
        except hiredis.ProtocolError:
            self.drop("it does not speak Redis's protocol")

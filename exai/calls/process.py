"""This web process among the others: its sign of life in Redis, and what others tell it.

Every few seconds it renews, in one script, its own lease and those of its calls and connections. What it held is free
again ten seconds after its last sign of life.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from exai.calls import keys, scripts
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused, Subscription

logger = logging.getLogger(__name__)

_encoder = msgspec.json.Encoder()


class HeldByCall(msgspec.Struct):
    """What a running call holds in Redis. `conversation` empty: none."""

    id: str
    slots: list[str]
    conversation: str


class OpenConnection(msgspec.Struct):
    id: str
    address_key: str


class Process:
    def __init__(self, link: RedisLink, *, lease_s: float, reaper_lease_s: float = 5.0) -> None:
        self.id = secrets.token_hex(6)
        self.lease_ms = round(lease_s * 1000)
        self.calls: dict[str, HeldByCall] = {}
        self.connections: dict[str, OpenConnection] = {}
        self._link = link
        self._interval_s = lease_s / 4
        self._reaper_lease_ms = round(reaper_lease_s * 1000)
        self._listeners: dict[str, Callable[[str], object]] = {}
        self._see_to_dead: Callable[[list[str]], Awaitable[None]] | None = None
        self._every_beat: list[Callable[[], None]] = []
        self._beating: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._starting: asyncio.Lock | None = None

    def on(self, message: str, listener: Callable[[str], object]) -> None:
        """`listener` is called with what follows the word `message` in what others tell this process."""
        self._listeners[message] = listener

    def on_dead(self, see_to: Callable[[list[str]], Awaitable[None]]) -> None:
        """`see_to` is called with processes that have died; by one process of all, until they are gone."""
        self._see_to_dead = see_to

    def on_beat(self, listener: Callable[[], None]) -> None:
        self._every_beat.append(listener)

    async def tell(self, process: str, message: str, subject: str) -> bool:
        """Whether that process heard it: one that died, or has lost Redis, does not. Raises `RedisAway`."""
        heard = await self._link.command("PUBLISH", keys.control_channel(process), f"{message} {subject}")
        return int(heard) > 0

    async def start(self) -> None:
        """Must be called before anything is held. Does nothing the second time."""
        if self._beating is not None:
            return
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._beating is not None:
                return
            try:
                self._subscription = await self._link.subscribe(keys.control_channel(self.id), self._hear)
                await self._beat()
            except RedisAway:
                logger.warning("Redis is away: this process works by itself until it is back")
            self._beating = asyncio.create_task(self._keep_beating())

    async def stop(self) -> None:
        """Ends the lease: what is still held is free at once."""
        if self._beating is None:
            return
        self._beating.cancel()
        if self._subscription is not None:
            self._subscription.close()
        with contextlib.suppress(RedisAway, RedisRefused):  # the lease ends by itself, too
            # At an end, but listed: should a call be left after all, another process sees to it.
            await self._link.command("ZADD", keys.PROCESSES, 0, self.id)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                if self._subscription is None:
                    self._subscription = await self._link.subscribe(keys.control_channel(self.id), self._hear)
                await self._beat()
            except RedisAway:
                continue
            except Exception:  # without signs of life this process would be taken for dead
                logger.exception("This process's sign of life failed; the next is tried in time")

    async def _beat(self) -> None:
        dead = await self._link.script(
            scripts.RENEW,
            [],
            [
                self.id,
                self.lease_ms,
                self._reaper_lease_ms,
                _encoder.encode(list(self.calls.values())),
                _encoder.encode(list(self.connections.values())),
            ],
        )
        for listener in self._every_beat:
            listener()
        if dead and self._see_to_dead is not None:
            await self._see_to_dead([process.decode() for process in dead])

    def _hear(self, told: bytes) -> None:
        message, _, subject = told.decode().partition(" ")
        listener = self._listeners.get(message)
        if listener is not None:
            listener(subject)

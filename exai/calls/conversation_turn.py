"""One call at a time on a conversation, across processes: a lease in Redis, behind a queue in this process.

The lease keeps calls in order; that no two turns ever share a place is guaranteed by the database's constraint.
So when Redis is away the hub works on, with order kept within each process only.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from exai.protocol.errors import OverCapacity

logger = logging.getLogger(__name__)

LEASE_MS = 10_000  # a killed process's lease is free after so long
RENEWAL_S = 3.0
_POLL_S = 0.02
_LONGEST_POLL_S = 0.25

_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


@dataclass
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class ConversationTurns:
    def __init__(self, redis: Redis, *, longest_wait_s: float = 30.0) -> None:
        self._redis = redis
        self._longest_wait_s = longest_wait_s
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def turn(self, conversation: str, *, on_wait: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Holds the conversation for the caller alone. `on_wait` is called once if it has to wait for that.

        Raises `OverCapacity` when the conversation stays taken for too long.
        """
        queue = self._queues.setdefault(conversation, _Queue())
        queue.users += 1
        try:
            give_up_at = asyncio.get_running_loop().time() + self._longest_wait_s
            if queue.lock.locked():
                await on_wait()
            try:
                async with asyncio.timeout_at(give_up_at):
                    await queue.lock.acquire()
            except TimeoutError:
                raise self._taken() from None
            try:
                async with self._lease(conversation, give_up_at, on_wait):
                    yield
            finally:
                queue.lock.release()
        finally:
            queue.users -= 1
            if queue.users == 0:
                del self._queues[conversation]

    @asynccontextmanager
    async def _lease(
        self, conversation: str, give_up_at: float, on_wait: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[None]:
        key, owner = f"exai:conversation-turn:{conversation}", secrets.token_hex(8)
        if not await self._acquire(key, owner, give_up_at, on_wait):
            yield
            return
        renewal = asyncio.create_task(self._keep(key, owner))
        try:
            yield
        finally:
            renewal.cancel()
            with contextlib.suppress(RedisError, OSError):
                await self._redis.eval(_RELEASE, 1, key, owner)

    async def _acquire(self, key: str, owner: str, give_up_at: float, on_wait: Callable[[], Awaitable[None]]) -> bool:
        """Whether the lease is held; not when Redis is away."""
        loop, pause_s = asyncio.get_running_loop(), _POLL_S
        try:
            while not await self._redis.set(key, owner, nx=True, px=LEASE_MS):
                if loop.time() + pause_s > give_up_at:
                    raise self._taken()
                if pause_s == _POLL_S:
                    await on_wait()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
        except (RedisError, OSError) as error:
            logger.warning("Redis is away (%s): turns of a conversation are ordered per process", type(error).__name__)
            return False
        return True

    async def _keep(self, key: str, owner: str) -> None:
        while True:
            await asyncio.sleep(RENEWAL_S)
            with contextlib.suppress(RedisError, OSError):
                await self._redis.eval(_RENEW, 1, key, owner, LEASE_MS)

    def _taken(self) -> OverCapacity:
        return OverCapacity(
            "Another call on this conversation is still running. Wait for its answer, or begin a new conversation "
            "by leaving continuation_id out.",
            reason="conversation_busy",
            retry_after=round(self._longest_wait_s),
        )

"""The calls of this process on one conversation, in the order in which they came.

Order across processes, and that only one at a time has a conversation, is kept by a lease in Redis (admission); that no
two turns ever share a place is guaranteed by the database's constraint.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class ConversationQueue:
    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def is_taken(self, conversation: str) -> bool:
        return conversation in self._queues

    @asynccontextmanager
    async def turn(self, conversation: str, *, within_s: float) -> AsyncIterator[None]:
        """Raises `TimeoutError` when the calls before it take longer."""
        queue = self._queues.setdefault(conversation, _Queue())
        queue.users += 1
        try:
            async with asyncio.timeout(within_s):
                await queue.lock.acquire()
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.users -= 1
            if queue.users == 0:
                del self._queues[conversation]

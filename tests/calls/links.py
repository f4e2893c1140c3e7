"""What the tests of the link to Redis share: links that are closed in the end, and bounded waits."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from exai.calls.redis_link import RedisLink

_numbers = count()


@asynccontextmanager
async def a_link(url: str | None = None, *, patience_s: float = 5.0) -> AsyncIterator[RedisLink]:
    """To the Redis of the test session by default."""
    link = RedisLink(url or os.environ["REDIS_URL"], patience_s=patience_s)
    try:
        yield link
    finally:
        await link.close()


def a_name() -> str:
    """A key or channel that no other test uses; databases share channels."""
    return f"test:link:{os.getpid()}:{next(_numbers)}"


async def until(condition: Callable[[], bool], *, within_s: float = 8.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to pass"
        await asyncio.sleep(0.005)


def other_tasks() -> set["asyncio.Task[Any]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}

"""Blocking work on a thread, of a task that may be cancelled: a thread cannot be, so its end is waited for. What it
works on may be closed only then: the number of a closed file is given to the next one that is opened."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def on_thread(deed: Callable[[], Result], *, undo: Callable[[Result], None] | None = None) -> Result:
    """What the deed gives. Cancelled, it ends when the thread does; `undo` then takes back what was made for nobody."""
    running = asyncio.ensure_future(asyncio.to_thread(deed))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await ended(running)
        if undo is not None and not running.cancelled() and running.exception() is None:
            undo(running.result())
        raise


async def ended(running: "asyncio.Future[Result]") -> None:
    """Waits for the end, however often we are cancelled. Its error is nobody's."""
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            continue  # whoever called is being cancelled already
    if not running.cancelled():
        running.exception()

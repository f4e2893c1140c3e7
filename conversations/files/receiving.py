"""Content on its way into a staged file: a thread writes and hashes one piece while the next is received."""

import asyncio
import hashlib
from collections.abc import AsyncIterable
from functools import partial

from conversations.files.blobs import reaching
from conversations.files.errors import FileTooLarge
from conversations.files.staging import Staged
from conversations.files.threads import ended, on_thread

_PIECE_BYTES = 1024 * 1024  # as much as a thread is handed at once


async def receive(content: AsyncIterable[bytes], staged: Staged, *, most_bytes: int) -> tuple[str, int]:
    """The SHA-256, in hexadecimal, and the size. Raises `FileTooLarge`, `StorageAway`, and what `content` raises; no
    thread uses the file any more then."""
    digest = hashlib.sha256()
    size = 0

    def take(piece: bytearray) -> None:
        digest.update(piece)
        reaching(lambda: staged.write(piece))

    gathered = bytearray()
    taking: asyncio.Task[None] | None = None
    try:
        async for received in content:
            size += len(received)
            if size > most_bytes:
                raise FileTooLarge(most_bytes)
            gathered += received
            if len(gathered) >= _PIECE_BYTES:
                if taking is not None:
                    await taking
                taking = asyncio.create_task(on_thread(partial(take, gathered)))
                gathered = bytearray()
        if taking is not None:
            await taking
        await on_thread(partial(take, gathered))
    finally:
        if taking is not None:
            await ended(taking)
    return digest.hexdigest(), size

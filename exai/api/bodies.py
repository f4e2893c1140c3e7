"""The largest body that reaches Django, which would keep all of it on disk before it asked whose it is. Uploads do not
come here: exai.api.uploads."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from exai.api.answers import error_body, status_of
from exai.protocol.errors import ContentTooLarge

MOST_BYTES = 4 * 1024 * 1024  # more than any form or JSON of the hub has
# Of what is sent on all the same: read so that the client gets to read the answer.
_LINGER_S = 1.0
_LINGER_BYTES = 1024 * 1024

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


def bounded(application: Application) -> Application:
    """The ASGI application, which takes bodies of up to 4 MiB; larger ones are answered 413."""

    async def bounded_application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        size, is_read, answered = 0, False, False

        async def receive_counted() -> dict[str, Any]:
            nonlocal size, is_read
            event = await receive()
            size += len(event.get("body", b""))
            is_read = not event.get("more_body", False)
            # As if the client were gone: then nothing is kept, and nothing answered.
            return {"type": "http.disconnect"} if size > MOST_BYTES else event

        async def send_noted(event: dict[str, Any]) -> None:
            nonlocal answered
            answered = True
            await send(event)

        if _announced(scope) <= MOST_BYTES:
            await application(scope, receive_counted, send_noted)
            if size <= MOST_BYTES or answered:
                return
        await _refuse(send)
        try:
            async with asyncio.timeout(_LINGER_S):
                while not is_read and size < MOST_BYTES + _LINGER_BYTES:
                    await receive_counted()
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})

    return bounded_application


def _announced(scope: dict[str, Any]) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(value) for value in lengths if value.isdigit()), default=0)


async def _refuse(send: Send) -> None:
    error = ContentTooLarge(f"At most {MOST_BYTES:,} bytes are taken here.")
    body = error_body(error)
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    await send(
        {
            "type": "http.response.start",
            "status": status_of(error),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": True})

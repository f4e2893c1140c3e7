"""A vendor that sends exactly the bytes it is given, for what a well-behaved server cannot be made to send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

STREAM = "200 OK", {"Content-Type": "text/event-stream"}
WHOLE = "200 OK", {"Content-Type": "application/json"}
_PAUSE_BETWEEN_WRITES_S = 0.01  # long enough for a reader on loopback to see them apart


class Wire(NamedTuple):
    url: str
    requests: list[bytes]
    """The heads of the requests that came."""


@contextlib.asynccontextmanager
async def vendor_that_sends(
    *writes: bytes, head: tuple[str, dict[str, str]] = STREAM, port: int = 0
) -> AsyncIterator[Wire]:
    """Answers every request with this status, these headers and these writes, and closes the connection."""
    requests: list[bytes] = []
    handlers: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await _write(writer, _head(*head), writes)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(answer(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", requests)
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def content(text: str, **rest: str) -> bytes:
    """An event with a piece of the answer; `text` and the other members are JSON as it stands on the wire."""
    members = "".join(f',"{name}":{value}' for name, value in rest.items())
    return event(f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}{members}}}]}}')


DONE = event("[DONE]")


def _head(status: str, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _write(writer: asyncio.StreamWriter, head: bytes, writes: Sequence[bytes]) -> None:
    writer.write(head)
    for index, data in enumerate(writes):
        if index:
            await asyncio.sleep(_PAUSE_BETWEEN_WRITES_S)
        writer.write(data)
        await writer.drain()

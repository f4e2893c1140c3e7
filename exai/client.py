"""A client of the tool protocol: what `manage.py call` speaks, and an example for others."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
import msgspec

from exai.protocol.frames import RequestId

Frame = dict[str, Any]

_CONNECT_TIMEOUT_S = 10.0


class ClientError(Exception):
    """The hub cannot be talked to; the message says why."""


class CannotConnect(ClientError):
    pass


class Refused(ClientError):
    """The hub did not accept the hello; `error` is the protocol's word for the reason."""

    def __init__(self, error: str, close_code: int | None) -> None:
        super().__init__(f"The hub refused the connection: {error}.")
        self.error = error
        self.close_code = close_code


class ConnectionLost(ClientError):
    def __init__(self, close_code: int | None) -> None:
        super().__init__(f"The connection to the hub was lost (close code {close_code}).")
        self.close_code = close_code


class ToolClient:
    """One connection, past its hello. Any number of calls and requests may be under way at once."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, hello_ack: Frame) -> None:
        self.hello_ack = hello_ack
        self._socket = socket
        self._waiting: dict[RequestId | None, asyncio.Queue[Frame | None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def send(self, frame: Frame) -> None:
        """Raises `ConnectionLost`."""
        try:
            await self._socket.send_str(msgspec.json.encode(frame).decode())
        except (ConnectionError, aiohttp.ClientError):
            raise ConnectionLost(self._socket.close_code) from None

    async def request(self, op: str, **fields: Any) -> Frame:
        """Sends a request and gives its one answer. Raises `ConnectionLost`."""
        request_id = fields.pop("request_id", None) or secrets.token_hex(8)
        with self._frames_of(request_id) as frames:
            await self.send({"op": op, "request_id": request_id, **fields})
            return await self._next(frames)

    async def call(
        self,
        name: str,
        arguments: Frame,
        *,
        request_id: RequestId | None = None,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> Frame:
        """Calls a tool; gives the result frame. `on_frame` sees every frame before it. Raises `ConnectionLost`."""
        request_id = request_id if request_id is not None else secrets.token_hex(8)
        with self._frames_of(request_id) as frames:
            await self.send({"op": "call_tool", "request_id": request_id, "name": name, "arguments": arguments})
            while True:
                frame = await self._next(frames)
                if frame["op"] in ("call_tool_res", "error"):
                    return frame
                if on_frame is not None:
                    on_frame(frame)

    async def cancel(self, request_id: RequestId) -> None:
        """Asks to stop a call; the call itself then ends with `CANCELLED`."""
        await self.send({"op": "cancel", "request_id": request_id})

    async def close(self) -> None:
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                frame = msgspec.json.decode(message.data)
                waiting = self._waiting.get(frame.get("request_id"))
                if waiting is not None:
                    waiting.put_nowait(frame)
        for waiting in self._waiting.values():
            waiting.put_nowait(None)

    @contextmanager
    def _frames_of(self, request_id: RequestId) -> Iterator[asyncio.Queue[Frame | None]]:
        if self._reader.done():
            raise ConnectionLost(self._socket.close_code)
        frames = self._waiting.setdefault(request_id, asyncio.Queue())
        try:
            yield frames
        finally:
            del self._waiting[request_id]

    async def _next(self, frames: asyncio.Queue[Frame | None]) -> Frame:
        frame = await frames.get()
        if frame is None:
            raise ConnectionLost(self._socket.close_code)
        return frame


@asynccontextmanager
async def connected(url: str, token: str, *, session_id: str | None = None) -> AsyncIterator[ToolClient]:
    """A client connected to the hub at a ws:// or wss:// URL. Raises `CannotConnect` or `Refused`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S)) as session:
        try:
            socket = await session.ws_connect(url, max_msg_size=0, heartbeat=30)
        except aiohttp.WSServerHandshakeError as error:
            raise CannotConnect(f"{url} answers, but not as an EXAI hub (HTTP {error.status}).") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CannotConnect(f"No hub answers at {url} ({type(error).__name__}).") from None
        hello = {"op": "hello", "session_id": session_id or f"session-{secrets.token_hex(8)}", "token": token}
        await socket.send_str(msgspec.json.encode(hello).decode())
        answer = await socket.receive()
        if answer.type is not aiohttp.WSMsgType.TEXT:
            raise Refused(answer.extra or "no hello_ack", socket.close_code)
        hello_ack = msgspec.json.decode(answer.data)
        if not hello_ack["ok"]:
            await socket.receive()
            raise Refused(hello_ack["error"], socket.close_code)
        client = ToolClient(socket, hello_ack)
        try:
            yield client
        finally:
            await client.close()

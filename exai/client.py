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

_CLOSE_PATIENCE_S = 2.0


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
    def __init__(self, close_code: int | None, reason: str = "") -> None:
        super().__init__(reason or f"The connection to the hub was lost (close code {close_code}).")
        self.close_code = close_code


class ToolClient:
    """One connection, past its hello. Any number of calls and requests may be under way at once."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, hello_ack: Frame) -> None:
        self.hello_ack = hello_ack
        self._socket = socket
        self._waiting: dict[RequestId | None, asyncio.Queue[Frame | None]] = {}
        self._why_lost = ""
        self._reader = asyncio.create_task(self._read())

    async def send(self, frame: Frame) -> None:
        """Raises `ConnectionLost`."""
        try:
            await self._socket.send_str(msgspec.json.encode(frame).decode())
        except (ConnectionError, aiohttp.ClientError):
            raise self._lost() from None

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
        try:
            async for message in self._socket:
                frame = _frame(message)
                request_id = frame.get("request_id") if frame is not None else None
                if frame is None or not isinstance(request_id, str | int | None):
                    self._why_lost = "The server sent something that is no frame of an EXAI hub."
                    break
                waiting = self._waiting.get(request_id)
                if waiting is not None:
                    waiting.put_nowait(frame)
        finally:
            # However it ended, nobody waits for what does not come.
            for waiting in self._waiting.values():
                waiting.put_nowait(None)

    @contextmanager
    def _frames_of(self, request_id: RequestId) -> Iterator[asyncio.Queue[Frame | None]]:
        if self._reader.done():
            raise self._lost()
        frames = self._waiting.setdefault(request_id, asyncio.Queue())
        try:
            yield frames
        finally:
            del self._waiting[request_id]

    async def _next(self, frames: asyncio.Queue[Frame | None]) -> Frame:
        frame = await frames.get()
        if frame is None:
            raise self._lost()
        return frame

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(self._socket.close_code, self._why_lost)


@asynccontextmanager
async def connected(
    url: str, token: str, *, session_id: str | None = None, answers_within_s: float = 10.0
) -> AsyncIterator[ToolClient]:
    """A client connected to the hub at a ws:// or wss:// URL. Raises `CannotConnect` or `Refused`, `answers_within_s`
    at the latest."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        try:
            async with asyncio.timeout(answers_within_s):
                socket, hello_ack = await _greeted(session, url, token, session_id or f"session-{secrets.token_hex(8)}")
        except TimeoutError:
            raise CannotConnect(f"{url} did not answer within {answers_within_s:g} seconds.") from None
        if not hello_ack["ok"]:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(answers_within_s, _CLOSE_PATIENCE_S)):
                    await socket.receive()  # the close, and its code
            raise Refused(str(hello_ack.get("error")), socket.close_code)
        client = ToolClient(socket, hello_ack)
        try:
            yield client
        finally:
            await client.close()


async def _greeted(
    session: aiohttp.ClientSession, url: str, token: str, session_id: str
) -> tuple[aiohttp.ClientWebSocketResponse, Frame]:
    """A connection, and what the hub said to the hello."""
    try:
        socket = await session.ws_connect(url, max_msg_size=0, heartbeat=30)
        await socket.send_str(msgspec.json.encode({"op": "hello", "session_id": session_id, "token": token}).decode())
        answer = await socket.receive()
    except aiohttp.WSServerHandshakeError as error:
        raise CannotConnect(f"{url} answers, but not as an EXAI hub (HTTP {error.status}).") from None
    except (aiohttp.ClientError, OSError) as error:
        raise CannotConnect(f"No hub answers at {url} ({type(error).__name__}).") from None
    if answer.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
        raise Refused(answer.extra or "no hello_ack", socket.close_code)
    frame = _frame(answer)
    if frame is None or frame["op"] != "hello_ack" or not isinstance(frame.get("ok"), bool):
        raise CannotConnect(f"{url} answers, but not as an EXAI hub.")
    return socket, frame


def _frame(message: aiohttp.WSMessage) -> Frame | None:
    """The frame in a message; None where there is none."""
    try:
        frame = msgspec.json.decode(message.data) if message.type is aiohttp.WSMsgType.TEXT else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return frame if isinstance(frame, dict) and isinstance(frame.get("op"), str) else None

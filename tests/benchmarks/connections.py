"""The clients of the load generator: of the hub, of the upstream directly, of the bare echo. They cost little CPU."""

import asyncio
import secrets
import time
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec

_encode = msgspec.json.encode
_PATIENCE_S = 60.0
_LARGEST_FRAME = 16 * 1024 * 1024
_UNDER_WAY = frozenset({"call_tool_ack", "progress", "stream_complete"})
STEADY = "steady"  # the model that answers at once
# About the length of a short question of an agent; the number in front makes each one different from all others.
_QUESTION = "Why does this loop never end, and what is the smallest change that fixes it? while n != 1: n = n * 3 + 1"


class BenchmarkError(Exception):
    """Something answered otherwise than the measurement needs."""


class Answer(NamedTuple):
    """When an answer came (`time.perf_counter()`): its first text and its end. `size` is its last frame's, in bytes."""

    first: float
    end: float
    size: int


class _Frame(msgspec.Struct):
    op: str
    request_id: str | None = None
    ok: bool = True


class _Waiting:
    """A request under way. One is made for every call, so it is kept small."""

    __slots__ = ("answer", "first", "heard")

    def __init__(self, answer: asyncio.Future[Answer]) -> None:
        self.answer = answer
        self.first = 0.0
        self.heard = time.perf_counter()


_frame = msgspec.json.Decoder(_Frame)


class HubConnection:
    """An authenticated connection to the hub. Any number of requests may be under way at once."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[bool]", name: str) -> None:
        self._socket = socket
        self._name = name
        # A request_id is used once: a repeated one would be answered from what the hub has kept.
        self._unique = secrets.token_hex(4)
        self._count = 0
        self.longest_silence_s = 0.0  # of a call under way
        self._waiting: dict[str, _Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self._reader = self._loop.create_task(self._read())

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, url: str, token: str, name: str) -> Self:
        socket = await _connect(session, url)
        await _send(socket, {"op": "hello", "session_id": name, "token": token})
        answer = await _receive(socket)
        if not _frame.decode(answer).ok:
            raise BenchmarkError(f"The hub refused the connection: {answer.decode()}")
        return cls(socket, name)

    async def chat(self, model: str = STEADY, *, stream: bool = False) -> Answer:
        arguments = {"prompt": f"{self._name}-{self._unique}-{self._count}: {_QUESTION}", "model": model}
        return await self.call("chat", {**arguments, "stream": True} if stream else arguments)

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        return await self.ask({"op": "call_tool", "name": tool, "arguments": arguments})

    async def list_tools(self) -> Answer:
        return await self.ask({"op": "list_tools"})

    async def ask(self, frame: dict[str, Any]) -> Answer:
        """Sends the frame with a `request_id` of its own; gives what came for it."""
        self._count += 1
        request_id = f"{self._name}-{self._unique}-{self._count}"
        waiting = self._waiting[request_id] = _Waiting(self._loop.create_future())
        await _send(self._socket, {**frame, "request_id": request_id})
        return await waiting.answer

    async def cancel_after(self, model: str, wait_s: float) -> float:
        """Calls a model and cancels the call after a while; the `time.time()` of the cancel."""
        calling = asyncio.ensure_future(self.chat(model))
        await asyncio.wait([calling], timeout=wait_s)
        cancelled_at = time.time()
        await _send(self._socket, {"op": "cancel", "request_id": f"{self._name}-{self._unique}-{self._count}"})
        await asyncio.wait([calling], timeout=5)
        calling.exception()  # CANCELLED
        return cancelled_at

    async def close(self) -> None:
        self._reader.cancel()
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while True:
                self._handle(await _receive(self._socket))
        except BenchmarkError as error:
            for waiting in self._waiting.values():
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)

    def _handle(self, data: bytes) -> None:
        now = time.perf_counter()
        frame = _frame.decode(data)
        waiting = self._waiting.get(frame.request_id or "")
        if waiting is not None:
            self.longest_silence_s = max(self.longest_silence_s, now - waiting.heard)
            waiting.heard = now
        if frame.op in _UNDER_WAY or waiting is None:
            return
        if frame.op == "stream_chunk":
            waiting.first = waiting.first or now
            return
        del self._waiting[frame.request_id or ""]
        if frame.op == "error" or not frame.ok:
            waiting.answer.set_exception(BenchmarkError(f"The hub answered {data[:2000].decode(errors='replace')}"))
        else:
            waiting.answer.set_result(Answer(waiting.first or now, now, len(data)))


class EchoConnection:
    """A connection to the bare echo, one frame at a time."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._socket = socket

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, url: str) -> Self:
        return cls(await _connect(session, url))

    async def chat(self) -> Answer:
        """A frame as long as that of a call, and back."""
        frame = {"op": "call_tool", "name": "chat", "arguments": {"prompt": _QUESTION, "model": "steady"}}
        return await self._exchange(_encode(frame))

    async def exchange(self, size: int) -> Answer:
        """A frame of so many bytes, and back."""
        return await self._exchange(b"x" * size)

    async def _exchange(self, data: bytes) -> Answer:
        await self._socket.send_frame(data, aiohttp.WSMsgType.TEXT)
        answer = await _receive(self._socket)
        now = time.perf_counter()
        return Answer(now, now, len(answer))

    async def close(self) -> None:
        await self._socket.close()


class DirectClient:
    """Asks the upstream without the hub, as the hub asks it."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._url = f"{base_url}/chat/completions"
        self._headers = {"Content-Type": "application/json", "Authorization": "Bearer direct"}

    async def chat(self, model: str = STEADY) -> Answer:
        question = {"role": "user", "content": _QUESTION}
        body = {"model": model, "messages": [question], "stream": True, "stream_options": {"include_usage": True}}
        first, size = 0.0, 0
        async with self._session.post(self._url, data=_encode(body), headers=self._headers) as response:
            async for data in response.content.iter_any():
                first = first or time.perf_counter()
                size += len(data)
            if response.status != 200:
                raise BenchmarkError(f"The upstream answered {response.status}")
        return Answer(first, time.perf_counter(), size)


def client_session() -> aiohttp.ClientSession:
    """A session for any number of connections that are kept open."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=600),
        timeout=aiohttp.ClientTimeout(total=_PATIENCE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _connect(session: aiohttp.ClientSession, url: str) -> "aiohttp.ClientWebSocketResponse[bool]":
    return await session.ws_connect(url, compress=0, max_msg_size=_LARGEST_FRAME, decode_text=False)


async def _send(socket: "aiohttp.ClientWebSocketResponse[bool]", frame: dict[str, Any]) -> None:
    await socket.send_frame(_encode(frame), aiohttp.WSMsgType.TEXT)


async def _receive(socket: "aiohttp.ClientWebSocketResponse[bool]") -> bytes:
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        reason = f"{message.type.name} {message.data or ''} {message.extra or ''}".strip()
        raise BenchmarkError(f"The connection ended: {reason}")
    data = message.data
    return data if isinstance(data, bytes) else bytes(data)

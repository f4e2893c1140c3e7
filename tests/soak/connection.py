"""A client's connection that writes down all that it asked and got."""

import asyncio
import json
import time
from typing import Literal

import aiohttp

from tests.hub import RunningHub
from tests.soak.asked import Ask, Frame, SoakCall, Speaker

_PATIENCE_S = 10.0
_LAST_OPS = ("call_tool_res", "error")


class SoakConnection:
    """`state` is `open` until it is dropped by the client, or by a hub that was killed or that broke it."""

    def __init__(self, speaker: Speaker, hub: RunningHub) -> None:
        self.speaker = speaker
        self.hub = hub
        self.state: Literal["open", "dropped", "broken"] = "open"
        self.asks: dict[int, list[Ask]] = {}
        self.frames: dict[int, list[Frame]] = {}
        self.sent_since: dict[int, int] = {}  # text frames after the last ask of a request_id
        self.unexpected: list[Frame] = []
        self._cancels: dict[int, list[asyncio.Future[bool]]] = {}
        self._http = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises `OSError` (of which aiohttp's errors are) or `EOFError` when there is no hub."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._socket = await self._http.ws_connect(self.hub.ws_url, max_msg_size=0)
                await self._socket.send_json(
                    {"op": "hello", "session_id": self.speaker.session, "token": self.speaker.token}
                )
                hello = await self._socket.receive()
            if hello.type is not aiohttp.WSMsgType.TEXT or not json.loads(hello.data)["ok"]:
                raise EOFError(f"no hello: {hello}")
        except BaseException:
            self.state = "broken"
            await self._http.close()
            raise
        self._reading = asyncio.create_task(self._read(self._socket))

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    def carries(self, request_id: int) -> bool:
        """Whether something of this request_id is still to come."""
        return len(self.asks.get(request_id, ())) > self.ended(request_id)

    def ended(self, request_id: int) -> int:
        return sum(frame["op"] in _LAST_OPS for frame in self.frames.get(request_id, ()))

    def may_have_delivered(self, request_id: int) -> bool:
        """Whether the hub may have taken a later frame for the sign that the result has arrived."""
        return self.sent_since.get(request_id, 0) > 0

    async def ask(self, request_id: int, ask: Ask) -> None:
        call = ask.call
        frame: Frame = {"op": "resume", "request_id": request_id, "after": ask.after}
        if ask.op != "resume":
            frame = {"op": "call_tool", "request_id": request_id, "name": "chat", "arguments": call.arguments}
            call.times_asked += 1
            call.asked_at.setdefault(self.hub.pid, time.monotonic())
        self.asks.setdefault(request_id, []).append(ask)
        await self.send(frame)
        self.sent_since.setdefault(request_id, 0)

    async def cancel(self, request_id: int) -> asyncio.Future[bool]:
        """The answer to come: whether there was such a call."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._cancels.setdefault(request_id, []).append(answer)
        await self.send({"op": "cancel", "request_id": request_id})
        return answer

    async def send(self, frame: Frame) -> None:
        for request_id in self.sent_since:
            self.sent_since[request_id] += 1
        if self._socket is None or not self.is_open:
            return
        try:
            await self._socket.send_json(frame)
        except (OSError, aiohttp.ClientError):
            self.state = "broken"

    async def drop(self, *, politely: bool) -> None:
        """Without a close frame unless it is polite."""
        if self.is_open:
            self.state = "dropped"
        if politely and self._socket is not None:
            await self._socket.close()
        await self._http.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        for answer in (answer for answers in self._cancels.values() for answer in answers):
            answer.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            self._take(json.loads(message.data))
        if self.is_open:
            self.state = "broken"

    def _take(self, frame: Frame) -> None:
        request_id = frame.get("request_id")
        if frame["op"] == "pong":
            return
        if frame["op"] == "cancelled" and self._cancels.get(request_id or 0):
            answer = self._cancels[request_id or 0].pop(0)
            if not answer.done():
                answer.set_result(frame["found"])
            return
        if not isinstance(request_id, int) or request_id not in self.asks:
            self.unexpected.append(frame)
            return
        self.frames.setdefault(request_id, []).append(frame)
        call: SoakCall = self.asks[request_id][0].call
        if frame["op"] == "call_tool_ack":
            call.call_ids.add(frame["call_id"])
            call.acknowledged.add(request_id)
        if frame["op"] == "call_tool_res":
            call.note_result(frame)

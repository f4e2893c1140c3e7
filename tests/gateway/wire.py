"""A WebSocket to the hub with nothing in between: tests send and read the very frames."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import redis

Frame = dict[str, Any]
PATIENCE_S = 10.0


class Wire:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, frame: Any) -> None:
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self) -> Frame:
        """The next frame. Raises `EOFError` when the hub closes instead."""
        message = await self.socket.receive(timeout=PATIENCE_S)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise EOFError(f"closed with {self.socket.close_code}")
        frame: Frame = json.loads(message.data)
        return frame

    async def closed(self) -> tuple[int | None, str]:
        """Waits for the hub to close; the code and the reason. Frames before that are passed over."""
        while True:
            message = await self.socket.receive(timeout=PATIENCE_S)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            if message.type is not aiohttp.WSMsgType.TEXT:
                return self.socket.close_code, ""

    async def until(self, op: str, request_id: Any = None) -> list[Frame]:
        """All frames up to the first of that op (and request_id)."""
        frames = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frames.append(await self.receive())
                if frames[-1]["op"] == op and request_id in (None, frames[-1].get("request_id")):
                    return frames

    async def hello(self, token: str, session_id: str = "tests") -> Frame:
        await self.send({"op": "hello", "session_id": session_id, "token": token})
        return await self.receive()

    async def call(self, tool: str, arguments: Frame, request_id: Any = "1") -> list[Frame]:
        """Calls a tool; every frame of the call."""
        await self.start(tool, arguments, request_id)
        return await self.until("call_tool_res", request_id)

    async def start(self, tool: str, arguments: Frame, request_id: Any = "1") -> None:
        await self.send({"op": "call_tool", "request_id": request_id, "name": tool, "arguments": arguments})


@asynccontextmanager
async def wire(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Wire]:
    """A connection to a ws:// URL; past its hello when a token is given."""
    async with (
        aiohttp.ClientSession() as session,
        # The close handshake is the tests' to see: autoclose would answer it unseen.
        session.ws_connect(url, max_msg_size=0, autoclose=False, **options) as socket,
    ):
        opened = Wire(socket)
        if token is not None:
            acknowledged = await opened.hello(token)
            assert acknowledged["ok"], acknowledged
        yield opened


def envelope(frame: Frame) -> Frame:
    """The envelope in a call's result frame."""
    parsed: Frame = json.loads(frame["outputs"][0]["text"])
    return parsed


async def until_all_are_gone(*, within_s: float = 5.0) -> None:
    """Waits until the hubs of this worker have noticed that every connection is lost."""
    deadline = time.monotonic() + within_s
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        while client.zcard("exai:connections"):
            assert time.monotonic() < deadline, "a lost connection still counts as connected"
            await asyncio.sleep(0.005)

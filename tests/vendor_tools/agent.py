"""An agent that calls tools over a WebSocket of its own, and what it reads in the answers."""

import base64
import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.gateway.wire import Frame, envelope, wire
from tests.hub import RunningHub
from tests.upstream import RecordedRequest, Upstream

KIMI_KEY = "sk-kimi-0123456789-secret"
GLM_KEY = "sk-glm-0123456789-secret"
_ids = count()


@dataclass
class Agent:
    hub: RunningHub
    name: str
    token: str

    async def __call__(self, tool: str, **arguments: Any) -> Frame:
        """The result frame. Each call is of a session of its own: one that asked the same again would be given the
        answer that it may have missed."""
        number = next(_ids)
        async with wire(self.hub.ws_url) as connection:
            await connection.hello(self.token, f"session-{number}")
            frames = await connection.call(tool, arguments, f"call-{number}")
        return frames[-1]

    async def json(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers as JSON in its envelope."""
        answered = envelope(await self(tool, **arguments))
        assert (answered["status"], answered["content_type"]) == ("success", "json"), answered
        return json.loads(answered["content"])

    async def plain(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers as JSON of its own."""
        frame = await self(tool, **arguments)
        assert frame["ok"], frame
        return json.loads(frame["outputs"][0]["text"])

    async def refusal(self, tool: str, **arguments: Any) -> Frame:
        """The error of a call that must not succeed."""
        frame = await self(tool, **arguments)
        assert not frame["ok"], frame
        error: Frame = frame["error"]
        return error

    async def upload(self, name: str, content: str) -> Frame:
        """A file at Kimi, as kimi_upload_files tells of it."""
        told = await self.json("kimi_upload_files", files=[{"name": name, "content": content}])
        [file] = told["files"]
        uploaded: Frame = file
        return uploaded


def data_url(content: bytes, name: str) -> str:
    return f"data:application/octet-stream;name={name};base64,{base64.b64encode(content).decode()}"


def chats(upstream: Upstream, model: str) -> list[Any]:
    """The messages of each request to a model."""
    return [request.body["messages"] for request in upstream.requests(model)]


def uploads(upstream: Upstream, key: str, content: str) -> list[RecordedRequest]:
    """The uploads of that key that hold this content."""
    posted = [request for request in upstream.requests(key) if (request.method, request.path) == ("POST", "/v1/files")]
    return [request for request in posted if content.encode() in request.raw]

"""A WebSocket connection of a tool client: decodes frames, starts what they ask for, encodes the answers."""

import asyncio
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer

from exai.access import AccessError, client_replace_token
from exai.database import DatabaseAway
from exai.gateway.answers import error_frame
from exai.gateway.authentication import AuthenticatedClient, authenticate
from exai.gateway.gateway import gateway
from exai.gateway.origin import origin_allowed
from exai.gateway.presence import UNAUTHORIZED
from exai.gateway.running_call import CallRequest, RunningCall, utc_timestamp
from exai.models import Scope
from exai.protocol import frames
from exai.protocol.codec import BadFrame, BadHello, decode_hello, decode_request, encode
from exai.protocol.errors import InvalidRequest, InvalidValue, NotFound
from exai.version import PROTOCOL_VERSION, VERSION

logger = logging.getLogger(__name__)

INVALID_HELLO = 4000
MISSING_HELLO = 4001
HELLO_TIMEOUT = 4002
TRY_AGAIN_LATER = 1013
_BAD_HELLO_CODES = {"invalid_hello": INVALID_HELLO, "missing_hello": MISSING_HELLO}


class ToolConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """Calls run on tasks of their own, so the reader never waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = gateway()
        self.client: AuthenticatedClient | None = None
        self._calls: dict[frames.RequestId, RunningCall] = {}
        self._open = False
        self._hello_timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Channels' own loop asks a channel layer too, and closes ORM connections by a thread for each message; this
        # consumer has no layer and uses no ORM connection, and its loop is the hot path.
        self.scope, self.base_send = scope, send
        try:
            while True:
                message = await receive()
                await getattr(self, message["type"].replace(".", "_"))(message)
        except StopConsumer:
            pass

    async def websocket_connect(self, message: Any) -> None:
        if not origin_allowed(self.scope["headers"], self.gateway.settings.accepted_hosts):
            await self.base_send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})
            raise StopConsumer
        self._open = True
        self.gateway.presence.add(self)
        self._hello_timer = asyncio.get_running_loop().call_later(
            self.gateway.settings.ws_hello_timeout, self._hello_is_late
        )
        await self.base_send({"type": "websocket.accept"})

    async def websocket_receive(self, message: Any) -> None:
        text = message.get("text")
        if not self._open:
            return
        if self.client is None:
            await self._greet(text)
        elif text is None:
            await self._send(error_frame(None, InvalidValue("Binary frames are not taken; send JSON text.")))
        else:
            await self._serve(text, self.client)

    async def websocket_disconnect(self, message: Any) -> None:
        self._leave()
        raise StopConsumer

    async def close(self, code: int, reason: str) -> None:
        if self._open:
            self._leave()
            await self.base_send({"type": "websocket.close", "code": code, "reason": reason})

    def _leave(self) -> None:
        self._open = False
        self.gateway.presence.remove(self)
        if self._hello_timer is not None:
            self._hello_timer.cancel()

    def _hello_is_late(self) -> None:
        self._closing = asyncio.create_task(self.close(HELLO_TIMEOUT, "hello timeout or disconnect"))

    async def _greet(self, text: str | None) -> None:
        try:
            hello = decode_hello(text or "")
        except BadHello as bad:
            await self._refuse(bad.error, _BAD_HELLO_CODES[bad.error])
            return
        try:
            client = await authenticate(self.gateway.database, hello.token)
        except DatabaseAway:
            await self.close(TRY_AGAIN_LATER, "the database is away, try again")
            return
        if client is None:
            await self._refuse("unauthorized", UNAUTHORIZED)
            return
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self.client = client
        await self._send(
            frames.HelloAck(ok=True, session_id=hello.session_id, protocol=PROTOCOL_VERSION, server=f"EXAI {VERSION}")
        )

    async def _refuse(self, error: Any, code: int) -> None:
        await self._send(frames.HelloAck(ok=False, error=error))
        await self.close(code, error.replace("_", " "))

    async def _serve(self, text: str, client: AuthenticatedClient) -> None:
        try:
            request = decode_request(text)
        except BadFrame as bad:
            await self._send(error_frame(bad.request_id, bad.error))
            return
        match request:
            case frames.CallTool():
                await self._start_call(client, request.request_id, request.name, request.arguments)
            case frames.ToolCall():
                await self._start_tool_call(client, request)
            case frames.Ping():
                await self._send(frames.Pong(request_id=request.request_id, timestamp=utc_timestamp()))
            case frames.Cancel():
                call = self._calls.get(request.request_id)
                found = call is not None and call.cancel()
                await self._send(frames.Cancelled(request_id=request.request_id, found=found))
            case frames.ListTools():
                await self._list_tools(client, request)
            case frames.Health():
                await self._send(self._health(request))
            case frames.Resume():
                unknown = NotFound("No call is kept under this request_id.")
                await self._send(error_frame(request.request_id, unknown))
            case frames.RotateToken():
                await self._rotate_token(client, request)

    async def _start_tool_call(self, client: AuthenticatedClient, request: frames.ToolCall) -> None:
        name = request.tool.name if request.tool else request.name
        if name is None:
            await self._send(error_frame(request.request_id, InvalidRequest("The tool_call names no tool.")))
        else:
            await self._start_call(client, request.request_id, name, request.arguments)

    async def _start_call(
        self, client: AuthenticatedClient, request_id: frames.RequestId | None, name: str, arguments: msgspec.Raw
    ) -> None:
        if request_id is None:
            request_id = secrets.token_hex(8)
        elif request_id in self._calls:
            running = InvalidRequest("A call with this request_id is running on this connection.")
            await self._send(error_frame(request_id, running))
            return
        # Copied: the arguments as received are a view into the whole frame.
        request = CallRequest(request_id, name, msgspec.Raw(bytes(arguments)), client)
        call = self.gateway.executor.start(request, self._send)
        self._calls[request_id] = call
        call.when_done(lambda: self._calls.pop(request_id, None))

    async def _list_tools(self, client: AuthenticatedClient, request: frames.ListTools) -> None:
        tools = self.gateway.tool_catalogue if client.may(Scope.TOOLS) else msgspec.Raw(b"[]")
        await self._send(frames.ListToolsResult(request_id=request.request_id, tools=tools, timestamp=utc_timestamp()))

    def _health(self, request: frames.Health) -> frames.HealthResult:
        hub = self.gateway.hub
        return frames.HealthResult(
            request_id=request.request_id,
            ok=not hub.draining,
            health=frames.HealthFigures(
                t=time.time(),
                uptime_human=str(datetime.now(UTC) - hub.started_at).partition(".")[0],
                sessions=hub.connections,
                global_capacity=None,
                global_inflight=hub.calls_in_flight,
                tool_count=len(hub.tool_names()),
            ),
        )

    async def _rotate_token(self, client: AuthenticatedClient, request: frames.RotateToken) -> None:
        error: Any = None
        if not request.old or not request.new:
            error = "missing_params"
        else:
            replace = database_sync_to_async(client_replace_token)
            try:
                await replace(old=request.old, new=request.new, client_id=client.id)
            except AccessError as refused:
                error = refused.args[0]
        await self._send(frames.RotateTokenResult(request_id=request.request_id, ok=error is None, error=error))

    async def _send(self, frame: msgspec.Struct) -> None:
        """Sends a frame; one for a connection that is gone goes nowhere."""
        if not self._open:
            return
        try:
            await self.base_send({"type": "websocket.send", "text": encode(frame)})
        except (OSError, RuntimeError):
            # The servers' words for a socket that closed in this moment (uvicorn: RuntimeError, ClientDisconnected).
            self._leave()

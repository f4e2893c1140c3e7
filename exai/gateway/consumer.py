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
from django.db import DatabaseError

from exai.access import AccessError, client_replace_token
from exai.calls.kept_calls import CallGone
from exai.calls.limits import Bucket, frame_buckets
from exai.calls.redis_link import RedisAway
from exai.database import DatabaseAway
from exai.gateway.addresses import client_address, is_loopback
from exai.gateway.answers import error_frame
from exai.gateway.authentication import AuthenticatedClient, authenticate
from exai.gateway.following import follow_call
from exai.gateway.gateway import gateway
from exai.gateway.origin import origin_allowed
from exai.gateway.presence import CLOSE_PATIENCE_S, POLICY_VIOLATION, UNAUTHORIZED
from exai.gateway.running_call import CallRequest, RunningCall, utc_timestamp
from exai.models import Scope
from exai.protocol import frames
from exai.protocol.codec import BadFrame, BadHello, decode_hello, decode_request, encode
from exai.protocol.errors import InvalidRequest, InvalidValue, NotFound, OverCapacity, ServiceUnavailable
from exai.version import PROTOCOL_VERSION, VERSION
from exai.web_socket import EXTENSION, Socket

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
        self.id = secrets.token_hex(8)
        self.session_id = ""
        self.address = ""
        self.limited_address = ""  # empty: loopback, which has no limits of its own
        self.client: AuthenticatedClient | None = None
        self._calls: dict[frames.RequestId, list[RunningCall]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._undelivered: list[str] = []
        self._open = False
        self._socket: Socket | None = None
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
        finally:
            self._leave()

    async def websocket_connect(self, message: Any) -> None:
        if not origin_allowed(self.scope["headers"], self.gateway.settings.accepted_hosts):
            await self.base_send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})
            raise StopConsumer
        settings = self.gateway.settings
        self._socket = self.scope.get("extensions", {}).get(EXTENSION)
        if self._socket is not None:
            self._socket.on_pong = self._heard
        self.address = client_address(self.scope.get("client"), self.scope["headers"], settings.trusted_proxies)
        self.limited_address = "" if is_loopback(self.address) else self.address
        await self.base_send({"type": "websocket.accept"})
        if reason := await self.gateway.presence.enter(self):
            await self.base_send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
            return
        self._open = True
        self._hello_timer = asyncio.get_running_loop().call_later(settings.ws_hello_timeout, self._hello_is_late)

    async def websocket_receive(self, message: Any) -> None:
        text = message.get("text")
        if not self._open:
            return
        self._heard()
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
        if not self._open:
            return
        self._leave()
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self.base_send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError, RuntimeError):
            self.abort()  # it reads nothing, or is gone

    @property
    def is_closed(self) -> bool:
        return self._socket is None or self._socket.is_closed

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    def _leave(self) -> None:
        self._open = False
        self.gateway.presence.leave(self)
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
        self.client, self.session_id = client, hello.session_id
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
            case _:
                await self._serve_small(request, client)

    async def _serve_small(self, request: frames.Request, client: AuthenticatedClient) -> None:
        """Serves what is no call, once it has its token."""
        try:
            await self.gateway.admission.take_token(self._buckets(client))
        except OverCapacity as refused:
            await self._send(error_frame(request.request_id, refused))
            return
        match request:
            case frames.Ping():
                await self._send(frames.Pong(request_id=request.request_id, timestamp=utc_timestamp()))
            case frames.Cancel():
                found = await self._cancel(client, request.request_id)
                await self._send(frames.Cancelled(request_id=request.request_id, found=found))
            case frames.ListTools():
                await self._list_tools(client, request)
            case frames.Health():
                await self._send(self._health(request))
            case frames.Resume():
                task = asyncio.create_task(self._resume(client, request))
                self._following.add(task)
                task.add_done_callback(self._following.discard)
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
        # Copied: the arguments as received are a view into the whole frame.
        request = CallRequest(request_id, name, msgspec.Raw(bytes(arguments)), client)
        call = self.gateway.executor.start(request, self)
        same_id = self._calls.setdefault(request_id, [])
        same_id.append(call)
        call.when_done(lambda: self._forget(request_id, call))

    def _forget(self, request_id: frames.RequestId, call: RunningCall) -> None:
        self._calls[request_id].remove(call)
        if not self._calls[request_id]:
            del self._calls[request_id]

    async def _cancel(self, client: AuthenticatedClient, request_id: frames.RequestId) -> bool:
        """Cancels a call of this connection, else of any connection of the client; whether there was one."""
        here = self._calls.get(request_id, [])
        found = [call.cancel() for call in here if call.attached_to is None]
        if any(found):
            return True
        kept, process = self.gateway.kept, self.gateway.process
        try:
            attached = [call.attached_to for call in here if call.attached_to]
            call_id = (
                attached[0]
                if attached
                else await kept.named(
                    client=str(client.id), session=f"{client.id}:{self.session_id}", request_id=request_id
                )
            )
            owner = await kept.owner(call_id) if call_id else None
        except RedisAway:
            return False
        if call_id is None or owner is None:
            return False
        if owner == process.id:
            return self.gateway.executor.cancel(call_id)
        process.tell(owner, "cancel", call_id)
        return True

    async def _resume(self, client: AuthenticatedClient, request: frames.Resume) -> None:
        try:
            call_id = await self.gateway.kept.named(
                client=str(client.id), session=f"{client.id}:{self.session_id}", request_id=request.request_id
            )
            if call_id is None:
                raise CallGone
            await follow_call(
                self.gateway.kept,
                call_id,
                self,
                request_id=request.request_id,
                heartbeat_s=self.gateway.settings.ws_progress_interval_secs,
                after=request.after,
            )
        except CallGone:
            unknown = NotFound("Nothing is kept of a call of this request_id; ask again.")
            await self._send(error_frame(request.request_id, unknown))
        except RedisAway:
            away = ServiceUnavailable("What is kept of calls is out of reach at the moment. Try again.", retry_after=1)
            await self._send(error_frame(request.request_id, away))

    def _buckets(self, client: AuthenticatedClient) -> tuple[Bucket, ...]:
        return frame_buckets(
            self.gateway.settings,
            address=self.limited_address,
            session=f"{client.id}:{self.session_id}",
            client_refill=client.frame_rate,
        )

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
                global_capacity=hub.capacity,
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
            except DatabaseError:
                await self._send(error_frame(request.request_id, DatabaseAway()))
                return
        await self._send(frames.RotateTokenResult(request_id=request.request_id, ok=error is None, error=error))

    @property
    def is_open(self) -> bool:
        return self._open

    def is_attached(self, call_id: str) -> bool:
        """Whether this connection gets the frames of that call as its own."""
        running = (call for calls in self._calls.values() for call in calls)
        return any(str(call.id) == call_id for call in running)

    def await_delivery(self, call_id: str) -> None:
        """The result of the call was sent: it has arrived once the client is heard of again."""
        if self._open:
            self._undelivered.append(call_id)

    def _heard(self) -> None:
        for call_id in self._undelivered:
            self.gateway.kept.deliver(call_id)
        self._undelivered.clear()

    async def _send(self, frame: msgspec.Struct) -> None:
        await self.send_text(encode(frame))

    async def send_text(self, text: str) -> None:
        """Sends a frame; one for a connection that is gone goes nowhere."""
        if not self._open:
            return
        try:
            await self.base_send({"type": "websocket.send", "text": text})
        except (OSError, RuntimeError):
            # The servers' words for a socket that closed in this moment (uvicorn: RuntimeError, ClientDisconnected).
            self._leave()

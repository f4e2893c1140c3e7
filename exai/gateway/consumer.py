"""A WebSocket connection of a tool client: from its handshake to its end. What it asks for is served elsewhere."""

import asyncio
import logging
import secrets
from typing import Any

import msgspec
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from exai.calls.connection_registry import Traffic
from exai.database import DatabaseAway
from exai.gateway.addresses import client_address, is_loopback
from exai.gateway.answers import error_frame
from exai.gateway.authentication import AuthenticatedClient, authenticate
from exai.gateway.gateway import gateway
from exai.gateway.origin import origin_allowed
from exai.gateway.presence import CLOSE_PATIENCE_S, POLICY_VIOLATION, UNAUTHORIZED
from exai.gateway.serving import Service
from exai.protocol import frames
from exai.protocol.codec import BadHello, decode_hello, encode
from exai.protocol.errors import InvalidValue
from exai.version import PROTOCOL_VERSION, VERSION
from exai.web_socket import EXTENSION, Socket

logger = logging.getLogger(__name__)

INVALID_HELLO = 4000
MISSING_HELLO = 4001
HELLO_TIMEOUT = 4002
TRY_AGAIN_LATER = 1013
_BAD_HELLO_CODES = {"invalid_hello": INVALID_HELLO, "missing_hello": MISSING_HELLO}


class ToolConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    def __init__(self) -> None:
        super().__init__()
        self.gateway = gateway()
        self.id = secrets.token_hex(8)
        self.session_id = ""
        self.address = ""
        self.limited_address = ""  # empty: loopback, which has no limits of its own
        self.client: AuthenticatedClient | None = None
        self.traffic = Traffic()
        self._service: Service | None = None  # past the hello
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
        self.traffic.count_in(message["bytes"] if text is None else text)
        self._heard()
        if self._service is None:
            await self._greet(text)
        elif text is None:
            await self.send(error_frame(None, InvalidValue("Binary frames are not taken; send JSON text.")))
        else:
            await self._service.serve(text)

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
        self._service = Service(self.gateway, self, client)
        await self.send(
            frames.HelloAck(ok=True, session_id=hello.session_id, protocol=PROTOCOL_VERSION, server=f"EXAI {VERSION}")
        )

    async def _refuse(self, error: Any, code: int) -> None:
        await self.send(frames.HelloAck(ok=False, error=error))
        await self.close(code, error.replace("_", " "))

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def calls_in_flight(self) -> int:
        return self._service.calls_in_flight if self._service else 0

    def is_attached(self, call_id: str, request_id: frames.RequestId) -> bool:
        """Whether this connection gets the frames of that call already, under that request_id."""
        return self._service is not None and self._service.gets(call_id, request_id)

    def await_delivery(self, call_id: str) -> None:
        """The result of the call was sent: it has arrived once the client is heard of again."""
        if self._open:
            self._undelivered.append(call_id)

    def _heard(self) -> None:
        for call_id in self._undelivered:
            self.gateway.kept.deliver(call_id)
        self._undelivered.clear()

    async def send(self, frame: msgspec.Struct) -> None:
        await self.send_text(encode(frame))

    async def send_text(self, text: str) -> None:
        """Sends a frame; one for a connection that is gone goes nowhere."""
        if not self._open:
            return
        try:
            await self.base_send({"type": "websocket.send", "text": text})
            self.traffic.count_out(text)
        except (OSError, RuntimeError):
            # The servers' words for a socket that closed in this moment (uvicorn: RuntimeError, ClientDisconnected).
            self._leave()

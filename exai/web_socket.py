"""uvicorn's WebSocket protocol with what ASGI has no words for: pongs, and an end that waits for nobody.

And with fewer system calls: what is sent in one turn of the loop is written at once, and reading goes on while a few
small messages wait. A write costs as much as all else of a frame (profiled: 13 of 100 parts of a call before).
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request

EXTENSION = "exai.socket"
# Past these the application is waited for before more is read.
_MOST_WAITING = 16
_SMALL = 16 * 1024  # bytes


class Socket:
    """A connection's socket, as `scope["extensions"][EXTENSION]`; other servers than ours have none."""

    def __init__(self, protocol: "HubWebSocketProtocol") -> None:
        self._protocol = protocol
        self.on_pong: Callable[[], None] | None = None

    @property
    def is_closed(self) -> bool:
        return self._protocol.transport.is_closing()

    def abort(self) -> None:
        """Drops the connection and all that it was still to be sent: its reader may never take it."""
        self._protocol.transport.abort()


class HubWebSocketProtocol(WebSocketsSansIOProtocol):
    _socket: Socket | None = None
    _writes_soon = False

    async def send(self, message: Any) -> None:
        text = message.get("text") if message["type"] == "websocket.send" else None
        is_ready = self.handshake_complete and not self.disconnected and not self.close_sent
        if text is None or not is_ready or not self.writable.is_set():
            await super().send(message)  # which writes what waits to be written, before
            return
        try:
            self.conn.send_text(text.encode())
        except InvalidState:
            raise ClientDisconnected from None
        if not self._writes_soon:
            self._writes_soon = True
            self.loop.call_soon(self._write)

    def send_receive_event_to_app(self) -> None:
        was_paused = self.read_paused
        self.read_paused = True  # so that it is not paused for each message
        size = sum(map(len, self.frames))
        super().send_receive_event_to_app()
        self.read_paused = was_paused
        if not was_paused and (size > _SMALL or self.queue.qsize() > _MOST_WAITING):
            self.read_paused = True
            self.transport.pause_reading()

    def _write(self) -> None:
        self._writes_soon = False
        output = b"".join(self.conn.data_to_send())
        if output and not self.transport.is_closing():
            self.transport.write(output)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:  # else the handshake was refused
            # The application has not begun: its task was made just now.
            self._socket = scope["extensions"][EXTENSION] = Socket(self)

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        if self._socket is not None and self._socket.on_pong is not None:
            self._socket.on_pong()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        # A close waits until everything is written, which a dead peer never lets happen.
        self.transport.abort()

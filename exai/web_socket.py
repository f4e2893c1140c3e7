"""uvicorn's WebSocket protocol with what ASGI has no words for: pongs, and an end that waits for nobody."""

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

EXTENSION = "exai.socket"


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

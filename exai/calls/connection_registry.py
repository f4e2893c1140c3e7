"""What each web process publishes in Redis of its connections, with every sign of life; a dead one's list expires.

Read by exai.calls.connection_monitor.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from exai.calls import keys
from exai.calls.process import Process
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused

DISCONNECT = "disconnect"  # what the owning process is told; the connection's id follows

_encoder = msgspec.json.Encoder()


class Traffic:
    """Counts what goes over a connection; on the hot path, so plain numbers. Bytes are those of the frames' payload."""

    __slots__ = ("bytes_in", "bytes_out", "frames_in", "frames_out", "since")

    def __init__(self) -> None:
        self.since = datetime.now(UTC)
        self.frames_in = self.bytes_in = self.frames_out = self.bytes_out = 0

    def count_in(self, payload: str | bytes) -> None:
        self.frames_in += 1
        self.bytes_in += _size(payload)

    def count_out(self, text: str) -> None:
        self.frames_out += 1
        self.bytes_out += _size(text)


class ConnectionFigures(msgspec.Struct, frozen=True):
    """A connection as it was at its process's last sign of life.

    Before its hello it has no client and no session: `client_id` is 0, the names are empty. `address` is empty for a
    unix socket. New fields need a default: processes of two versions run side by side during an update.
    """

    id: str
    process: str
    client_id: int
    client: str
    workspace: str
    session: str
    address: str
    since: datetime
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    calls: int  # in flight


def published_by(process: str) -> str:
    """The key of a process's list."""
    return f"{keys.PREFIX}connections-of:{process}"


class ConnectionRegistry:
    def __init__(self, link: RedisLink, process: Process) -> None:
        self._link = link
        self._process = process

    def publish(self, connections: Iterable[ConnectionFigures]) -> None:
        """Replaces what this process published before."""
        self._link.send(*self._command(connections))

    async def publish_now(self, connections: Iterable[ConnectionFigures]) -> None:
        """Returns when everybody sees it, or Redis is away."""
        with suppress(RedisAway, RedisRefused):
            await self._link.command(*self._command(connections))

    def _command(self, connections: Iterable[ConnectionFigures]) -> tuple[str, str, bytes, str, int]:
        listed = _encoder.encode(list(connections))
        return "SET", published_by(self._process.id), listed, "PX", self._process.lease_ms


def _size(payload: str | bytes) -> int:
    # A text knows without a look whether it is ASCII, as most are.
    return len(payload) if isinstance(payload, bytes) or payload.isascii() else len(payload.encode())

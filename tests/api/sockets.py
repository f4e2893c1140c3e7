"""Requests that no HTTP library would send."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.api.caller import Answer
from tests.hub import RunningHub

_PATIENCE_S = 30.0


class RawRequest:
    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self) -> Answer:
        """Reads one answer whole. Raises `http.client.HTTPException`, `OSError` when there is none."""
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        return Answer(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})

    def is_closed(self) -> bool:
        """Whether the hub has closed, or does within the patience."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def raw_post(hub: RunningHub, token: str | None, *headers: str, path: str = "/api/files/") -> Iterator[RawRequest]:
    """A POST whose head is sent; the body is the caller's."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=_PATIENCE_S) as connected:
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        request = RawRequest(connected)
        request.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        yield request


def part(name: str | bytes, content: bytes = b"content", *, field: bytes = b"file") -> bytes:
    """A part of a multipart body with the boundary `b`."""
    named = name.encode() if isinstance(name, str) else name
    return (
        b'--b\r\nContent-Disposition: form-data; name="' + field + b'"; filename="' + named + b'"\r\n\r\n'
        + content + b"\r\n"
    )  # fmt: skip


FORM = "Content-Type: multipart/form-data; boundary=b"
END = b"--b--\r\n"

"""A caller of the HTTP API."""

import http.client
import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_PATIENCE_S = 30.0


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]  # names in lower case

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]["code"]


class ApiCaller:
    """Makes each request on a connection of its own. `token` None sends none."""

    def __init__(self, http_url: str, token: str | None) -> None:
        self._address = urlsplit(http_url).netloc
        self._token = token

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=_PATIENCE_S)
        sent = dict(headers or {})
        if self._token is not None:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(
                response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
            )
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def post(self, path: str, content: Any = None) -> Answer:
        body = b"" if content is None else json.dumps(content).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/json"})

    def upload(self, content: bytes, name: str = "file.txt") -> Answer:
        """As a form does."""
        body, content_type = form((name, content))
        return self.ask("POST", "/api/files/", body, {"Content-Type": content_type})


def form(*files: tuple[str, bytes], field: str = "file") -> tuple[bytes, str]:
    """A multipart body of files, by name and content, and its content type."""
    boundary = "a-boundary-that-is-in-no-content"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'.encode()
        + b"Content-Type: image/png\r\n\r\n"
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"

"""Asks the web process whether the hub is ready, in a thread: an answer may take its time."""

import http.client
import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

_PATH = "/health/ready"
_PAUSE_SECONDS = 0.05
_TIMEOUT_SECONDS = 5.0


class Readiness:
    """`ready` turns true once; until then `missing` says what the last answer named."""

    def __init__(self, local_url: str, changed: Callable[[], None]) -> None:
        self.ready = False
        self.missing = "the web process does not answer yet"
        address = urlsplit(local_url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._changed = changed
        self._closing = threading.Event()
        threading.Thread(target=self._ask_until_ready, name="readiness", daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def _ask_until_ready(self) -> None:
        while not self._closing.wait(_PAUSE_SECONDS):
            try:
                self._ask()
            except (OSError, http.client.HTTPException):
                continue  # not up yet, or restarted while it answered
            if self.ready:
                self._changed()
                return

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        try:
            # A host name that is always answered, whatever address the hub listens on.
            connection.request("GET", _PATH, headers={"Host": "localhost"})
            response = connection.getresponse()
            body = response.read(65_536)
        finally:
            connection.close()
        if response.status == http.HTTPStatus.OK:
            self.ready = True
        else:
            self.missing = _named_in(body) or f"{_PATH} answers {response.status}"


def _named_in(body: bytes) -> str:
    """The answer's JSON as one line of text; empty when it is none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    missing = answer.get("missing", answer) if isinstance(answer, dict) else answer
    if isinstance(missing, list):
        return ", ".join(str(part) for part in missing)
    if isinstance(missing, dict):
        return ", ".join(f"{name}: {state}" for name, state in missing.items())
    return str(missing)

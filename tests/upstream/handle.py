"""The test's side: starts the upstream in its own process, tells it how to behave, asks what it was sent."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from tests.upstream.behaviour import RecordedRequest

_PROJECT_DIR = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 20.0
_CONTROL_TIMEOUT_S = 10.0
# Loopback is never behind a proxy, whatever the environment says.
_opener = build_opener(ProxyHandler({}))


class Upstream:
    """A running upstream; a context manager that starts and stops it.

    Its methods block, and may be called from any thread: a coroutine waits by `asyncio.to_thread`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._origin = ""

    @property
    def url(self) -> str:
        """The base URL that a client of the vendor is given, `http://127.0.0.1:PORT/v1`."""
        return f"{self._origin}/v1"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("The upstream is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.upstream", "--port", "0"],
            cwd=_PROJECT_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        # Killed when it does not come up, which ends the reading.
        watchdog = threading.Timer(_START_TIMEOUT_S, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line.startswith("listening on "):
            self.__exit__()
            raise RuntimeError("The upstream did not start; its error is above")
        self._origin = line.removeprefix("listening on ").strip()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        process.stdout.close()

    def behave(self, model: str, **behaviour: Any) -> None:
        """How requests that name this model are answered from now on; the fields of `Behaviour`, all others default.

        Raises `ValueError` for a field or value that there is not.
        """
        try:
            self._control("behave", {"model": model}, body=msgspec.json.encode(behaviour))
        except HTTPError as error:
            with error:
                raise ValueError(error.read().decode()) from None

    def requests(self, model: str | None = None) -> list[RecordedRequest]:
        """What came in for this model, or at all, oldest first; at most the last 5,000."""
        return self._ask_requests(model)

    def disconnects(self, model: str) -> list[float]:
        """`time.time()` of each request whose client closed the connection before the answer ended."""
        return msgspec.json.decode(self._control("disconnects", {"model": model}), type=list[float])

    def wait_for_requests(self, model: str | None, count: int, timeout_s: float = 5) -> list[RecordedRequest]:
        """`requests` as soon as there are `count` of them. Raises `TimeoutError`."""
        found = self._ask_requests(model, count, timeout_s)
        if len(found) < count:
            raise TimeoutError(f"{len(found)} of {count} requests for {model or 'any model'} within {timeout_s} s")
        return found

    def wait_for_disconnect(self, model: str, timeout_s: float = 5) -> float:
        """The first of `disconnects`, as soon as there is one. Raises `TimeoutError`."""
        query = {"model": model, "count": 1, "timeout_s": timeout_s}
        found = msgspec.json.decode(self._control("disconnects", query, timeout_s), type=list[float])
        if not found:
            raise TimeoutError(f"No client of {model} went away within {timeout_s} s")
        return found[0]

    def reset(self) -> None:
        """Forgets all behaviours, requests and disconnects."""
        self._control("reset", {}, body=b"")

    def _ask_requests(self, model: str | None, count: int = 0, timeout_s: float = 0) -> list[RecordedRequest]:
        query = {"count": count, "timeout_s": timeout_s, **({} if model is None else {"model": model})}
        return msgspec.json.decode(self._control("requests", query, timeout_s), type=list[RecordedRequest])

    def _control(
        self, deed: str, query: Mapping[str, object], timeout_s: float = 0, *, body: bytes | None = None
    ) -> bytes:
        url = f"{self._origin}/__control/{deed}?{urlencode(query)}"
        request = Request(url, data=body)
        with _opener.open(request, timeout=timeout_s + _CONTROL_TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content

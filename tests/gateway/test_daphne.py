"""The same application under daphne, which serves `manage.py runserver`."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests import hub as hub_process
from tests.gateway.wire import envelope, wire

_PATIENCE_S = 30.0


@pytest.fixture
def daphne(hub_environment: dict[str, str]) -> Iterator[int]:
    """The port of a daphne that serves the hub."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne", "--fd", str(listening.fileno()), "exai.asgi:application"],
            cwd=hub_process.PROJECT_DIR,
            env=_environment(hub_environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(listening.fileno(),),
        )
    try:
        _wait_until_ready(port)
        yield port
    finally:
        process.kill()
        _, errors = process.communicate()
    assert b"Traceback" not in errors, errors.decode()


def _environment(environment: dict[str, str]) -> dict[str, str]:
    return hub_process.hub_environment({**environment, "PYTHONPATH": os.fspath(hub_process.PROJECT_DIR)})


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
    raise TimeoutError("daphne never became ready")


async def test_a_chat_streams_and_a_bad_hello_is_refused_under_daphne(daphne: int, token: str, model: str) -> None:
    url = f"ws://127.0.0.1:{daphne}/ws/tools/"
    async with wire(url, token) as connection:
        frames = await connection.call("chat", {"prompt": "Hi", "model": model, "stream": True})
        assert envelope(frames[-1])["content"] == "You said: Hi"
        assert "stream_complete" in [frame["op"] for frame in frames]
    async with wire(url) as connection:
        assert not (await connection.hello("wrong"))["ok"]
        assert (await connection.closed())[0] == 4003

"""Starting and ending a hub's process, shown with the benchmarks' echo server, which needs no database."""

import os
import socket

import pytest

from tests.hub import RunningHub, hub_environment

ECHO = ("-m", "tests.benchmarks.echo")


def test_a_hub_listens_as_long_as_it_runs() -> None:
    with RunningHub({}, command=ECHO) as hub:
        socket.create_connection(("127.0.0.1", hub.port), timeout=5).close()
        hub.terminate(timeout_s=10)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", hub.port), timeout=5)


def test_a_killed_hub_is_gone_at_once() -> None:
    with RunningHub({}, command=ECHO) as hub:
        hub.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", hub.port), timeout=5)


def test_a_hub_that_fails_at_its_start_is_reported_with_its_log() -> None:
    hub = RunningHub({}, command=("-c", "import sys; sys.exit('no such setting')"))
    with pytest.raises(RuntimeError, match="no such setting"):
        hub.__enter__()


def test_a_hub_that_is_never_ready_is_ended() -> None:
    hub = RunningHub({}, command=("-c", "import signal; signal.pause()"), ready_timeout_s=0.2)
    with pytest.raises(TimeoutError, match="not ready"):
        hub.__enter__()
    with pytest.raises(ProcessLookupError):
        os.kill(hub.pid, 0)


def test_nothing_of_the_developers_own_settings_reaches_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOONSHOT_API_KEY", "a real one")
    monkeypatch.setenv("DATABASE_URL", "postgresql:///of_the_developer")
    environment = hub_environment({"EXAI_HOST": "127.0.0.1"})
    assert "MOONSHOT_API_KEY" not in environment
    assert "DATABASE_URL" not in environment
    assert environment["EXAI_HOST"] == "127.0.0.1"

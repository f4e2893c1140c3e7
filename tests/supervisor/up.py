"""Runs `manage.py up` as a person or a service manager would, on a data directory of the test's own."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

import psutil
from websockets.sync.client import connect

from tests.hub import PROJECT_DIR, hub_environment

START_S = 40.0
STOP_S = 30.0
READY = "EXAI is ready."


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def up_environment(folder: Path, **variables: str) -> dict[str, str]:
    given = {"EXAI_DATA_DIR": str(folder / "data"), "EXAI_PORT": str(free_port()), "EXAI_DRAIN_SECS": "5", **variables}
    return hub_environment({**given, "TERM": "xterm", "NO_COLOR": "1"})


def run_up(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """For a hub that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


class Up:
    """A context manager that returns once the hub says that it is ready, and ends it."""

    def __init__(self, environment: Mapping[str, str], *, terminal: bool = False) -> None:
        self.environment = dict(environment)
        self.data_dir = Path(environment["EXAI_DATA_DIR"])
        self.port = int(environment["EXAI_PORT"])
        self.seconds_to_ready = 0.0
        self.output = ""
        self._terminal = terminal
        self._reader: IO[bytes] | None = None

    def __enter__(self) -> Self:
        started = time.monotonic()
        command = [sys.executable, "manage.py", "up"]
        if self._terminal:
            self._master, slave = os.openpty()
            self.process = subprocess.Popen(
                command, cwd=PROJECT_DIR, env=self.environment, preexec_fn=lambda: os.login_tty(slave)
            )
            os.close(slave)
        else:
            self._master, write_end = os.pipe()
            self.process = subprocess.Popen(
                command, cwd=PROJECT_DIR, env=self.environment, stdout=write_end, stderr=subprocess.STDOUT
            )
            os.close(write_end)
        os.set_blocking(self._master, False)
        try:
            while READY not in self.read():
                if self.process.poll() is not None or time.monotonic() - started > START_S:
                    raise RuntimeError(f"The hub did not become ready:\n{self.output}")
                select.select([self._master], [], [], 0.05)
        except BaseException:
            self.__exit__()
            raise
        self.seconds_to_ready = time.monotonic() - started
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                for process in [*self.processes(), psutil.Process(self.process.pid)]:
                    process.kill()
                self.process.wait()
        os.close(self._master)

    def read(self) -> str:
        """All that it has printed so far."""
        while True:
            try:
                part = os.read(self._master, 65_536)
            except OSError:  # nothing more yet, or (a terminal) the end
                return self.output
            if not part:
                return self.output
            self.output += part.decode().replace("\r\n", "\n")

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def processes(self) -> list[psutil.Process]:
        """The supervisor's descendants."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def python(self, part: str) -> list[psutil.Process]:
        """Our own processes among its children with this in their command line."""
        mine = psutil.Process(self.process.pid).children()
        return [process for process in mine if part in " ".join(process.cmdline())]

    def token(self) -> str:
        return (self.data_dir / "client.token").read_text()

    def accepts(self, token: str) -> bool:
        """Whether an agent with this token is let in."""
        with connect(f"ws://127.0.0.1:{self.port}/", open_timeout=10) as agent:
            agent.send(json.dumps({"op": "hello", "session_id": "supervisor-test", "token": token}))
            answer = json.loads(agent.recv(timeout=10))
        return bool(answer["ok"])

    def log_text(self) -> str:
        return "".join(path.read_text() for path in (self.data_dir / "logs").glob("*.log*"))

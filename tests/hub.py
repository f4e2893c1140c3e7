"""Runs the real hub in its own process: what the end-to-end tests and the benchmarks talk to."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

PROJECT_DIR = Path(__file__).resolve().parents[1]
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
# All else stays behind: a key in the developer's environment must not make a test call a vendor.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "SYSTEMROOT", "COVERAGE_PROCESS_START")


def hub_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process of the hub: those given, none of a `.env` file, and what any process needs."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "EXAI_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1", **given}


def manage(
    environment: Mapping[str, str], *arguments: str, project_dir: Path = PROJECT_DIR, timeout_s: float = 60
) -> str:
    """Runs `manage.py` with these arguments; gives its output. Raises `RuntimeError` with its error."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project_dir,
        env=hub_environment(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {arguments[0]} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def create_client(environment: Mapping[str, str], name: str, *options: str, project_dir: Path = PROJECT_DIR) -> str:
    """Makes a client; gives its token."""
    output = manage(environment, "create_client", name, *options, "--json", project_dir=project_dir)
    answer: dict[str, Any] = msgspec.json.decode(output)
    return str(answer["token"])


class RunningHub:
    """One web process on a free port of loopback, ready to serve; a context manager that starts and stops it.

    Its methods block. `environment` holds the settings, with those of the databases; nothing else is inherited.
    Ready is when `ready_path` answers 200. `command` are the interpreter's arguments of another server than the hub's
    own, which takes `--fd` likewise.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        command: Sequence[str] = ("-m", "exai.web"),
        project_dir: Path = PROJECT_DIR,
        ready_timeout_s: float = _READY_TIMEOUT_S,
        ready_path: str = "/health/ready",
    ) -> None:
        self._environment = hub_environment(environment)
        self._command = tuple(command)
        self._project_dir = project_dir
        self._ready_timeout_s = ready_timeout_s
        self._ready_path = ready_path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        return self._running().pid

    def __enter__(self) -> Self:
        # Bound here and handed over, so that the port is known and nobody else can take it in between.
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            self.port = listening.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, *self._command, "--fd", str(listening.fileno())],
                cwd=self._project_dir,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(listening.fileno(),),
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()

    def terminate(self, timeout_s: float = 40) -> int:
        """Sends SIGTERM and waits for the end; gives the exit code. Raises `subprocess.TimeoutExpired`."""
        self.begin_terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 40) -> int:
        """Waits for the end; gives the exit code. Raises `subprocess.TimeoutExpired`."""
        return self._running().wait(timeout_s)

    def begin_terminate(self) -> None:
        """Sends SIGTERM and does not wait."""
        self._running().terminate()

    def kill(self) -> None:
        """Ends it as a crash would."""
        process = self._running()
        process.kill()
        process.wait(_STOP_TIMEOUT_S)

    def log_text(self) -> str:
        """What the process has written to its standard output and error so far."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The hub has not been started")
        return self._process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        answer = "nothing"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"The hub ended with {process.returncode} at its start:\n{self.log_text()[-4000:]}")
            answer = self._ask_ready()
            if answer == "200":
                return
            time.sleep(_POLL_S)
        raise TimeoutError(
            f"The hub was not ready within {self._ready_timeout_s} s, {self._ready_path} answered {answer}:\n"
            f"{self.log_text()[-4000:]}"
        )

    def _ask_ready(self) -> str:
        """The status; the socket listens already, so a request waits for the process to come up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", self._ready_path)
            response = connection.getresponse()
            response.read()
            return str(response.status)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

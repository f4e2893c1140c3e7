"""The hub's own processes: started, watched, started again when they crash, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from exai.settings.server import PROJECT_DIR
from exai.supervisor.exit_codes import CRASHING, HubError
from exai.supervisor.logs import Logs


@dataclass(frozen=True)
class Program:
    """What a child runs. Nothing secret may stand in `command`: every user of the machine can read it."""

    name: str
    log: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


class Backoff:
    """How long a child that crashed rests: 0.5 s, doubled each time up to 30 s, anew after a minute of health."""

    def __init__(
        self, *, first: float = 0.5, longest: float = 30, healthy_after: float = 60, quick_crashes: int = 5
    ) -> None:
        self._first = first
        self._longest = longest
        self._healthy_after = healthy_after
        self._most = quick_crashes
        self._crashes = 0

    def rest_after(self, uptime: float) -> float | None:
        """Seconds to wait after a life of `uptime` seconds; None when it has crashed too often in a row."""
        self._crashes = 1 if uptime >= self._healthy_after else self._crashes + 1
        if self._crashes >= self._most:
            return None
        return min(self._first * 2.0 ** (self._crashes - 1), self._longest)


class Child:
    """One program, over all its lives. It leads a session of its own: the terminal's Ctrl-C does not reach it."""

    def __init__(self, program: Program, logs: Logs, backoff: Backoff | None = None) -> None:
        self.program = program
        self._logs = logs
        self._backoff = backoff or Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0  # on the monotonic clock
        self._started_on = 0.0  # since the epoch
        self.starts_at: float | None = None  # on the monotonic clock, while it rests

    @property
    def identity(self) -> tuple[int, float] | None:
        """Pid and time of its start, while it runs."""
        return (self._process.pid, self._started_on) if self._process and self._process.poll() is None else None

    def start(self) -> None:
        output = self._logs.open(self.program.name, self.program.log)
        try:
            self._process = subprocess.Popen(
                self.program.command,
                cwd=PROJECT_DIR,
                env=self.program.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self.program.descriptors,
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._started_at, self._started_on = time.monotonic(), time.time()
        self.starts_at = None

    def exit_code(self) -> int | None:
        """As `Popen.poll`; None also before the first start."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart_when_due(self, tell: Callable[[str], None]) -> bool:
        """Notes a crash and plans the next start, or makes the planned one; True when it was started.

        Raises `HubError` when the child has crashed too often.
        """
        now = time.monotonic()
        if self.starts_at is not None:
            if now < self.starts_at:
                return False
            self.start()
            return True
        code = self.exit_code()
        if code is None:
            return False
        name, log = self.program.name, self._logs.path(self.program.log)
        rest = self._backoff.rest_after(now - self._started_at)
        if rest is None:
            last_words = "".join(f"\n    {line}" for line in self._logs.last_lines(name))
            raise HubError(
                f"{name} keeps crashing; it {how_it_ended(code)} again. Its last lines (all are in {log}):{last_words}",
                CRASHING,
            )
        tell(f"{name} {how_it_ended(code)}; it starts again in {rest:g} s. See {log}.")
        self.starts_at = now + rest
        return False

    def ask_to_stop(self) -> None:
        """SIGTERM; and no further start."""
        self.starts_at = None
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self, *, patience: float = 5.0) -> None:
        """SIGKILL to it and to whatever it started."""
        self.starts_at = None
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            # One that hangs in the kernel cannot be waited for; it ends when the kernel lets it.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)


def how_it_ended(code: int) -> str:
    """«ended with exit code 1» or «was killed by SIGKILL»."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

"""What PostgreSQL and Valkey have in common: being started, adopted, watched and stopped."""

import os
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from signal import Signals
from typing import IO, ClassVar

from exai.embedded.binaries import Binaries, find_binaries
from exai.embedded.errors import EngineError
from exai.embedded.identity import Identity
from exai.embedded.passwords import Passwords
from exai.embedded.process import EngineProcess, OwnProcess

_POLL_SECONDS = 0.01
_LAST_LINES = 12


@dataclass
class Surroundings:
    """What the engines of one data directory share."""

    identity: Identity
    home: Path
    passwords: Passwords
    socket_dir: Path

    @cached_property
    def binaries(self) -> Binaries:
        """Looked for when an engine must be started; who finds both running does without."""
        return find_binaries(self.identity)


class Engine(ABC):
    title: ClassVar[str]
    variable: ClassVar[str]
    """The setting by which an operator names a server of their own instead."""
    folder_name: ClassVar[str]
    program: ClassVar[str]
    stop_signals: ClassVar[tuple[tuple[Signals, float], ...]]
    """Sent one after the other, each with the seconds to wait for the end."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.folder = around.home / self.folder_name
        self.started_by_us = False
        self._process: EngineProcess | None = None
        self._ready = False
        self._output: IO[bytes] | None = None
        self._log_before: tuple[Path | None, int] = (None, 0)

    # What each engine says of itself

    @property
    @abstractmethod
    def url(self) -> str:
        """Holds the password."""

    @property
    @abstractmethod
    def socket_path(self) -> Path: ...

    @property
    @abstractmethod
    def data_folder(self) -> Path:
        """Named in the process's command line, which it is known by."""

    @property
    @abstractmethod
    def pid_file(self) -> Path: ...

    @property
    @abstractmethod
    def log_file(self) -> Path | None:
        """The file being written now."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the files of a first start, and clear away what a killed engine left."""

    @abstractmethod
    def command(self) -> list[str]:
        """No secret may be in it: every user of the machine can read it."""

    def standard_input(self) -> bytes:
        return b""

    @abstractmethod
    def greets(self, connection: socket.socket) -> bool:
        """Whether a new connection would be served."""

    def tidy(self) -> None:  # noqa: B027  most engines need nothing
        """Called now and then while it runs."""

    # What is the same for all

    def adopt(self, *, thorough: bool) -> bool:
        """Take over the engine if it runs already."""
        if not thorough and not self.pid_file.exists():
            return False
        from exai.embedded.found import find_engine

        uid = self.around.identity.uid
        found = find_engine(self.program, self.data_folder, uid, self.pid_file, thorough=thorough)
        if found is None:
            return False
        self._process, self._ready, self.started_by_us = found, False, False
        return True

    def start(self) -> None:
        """Start it without waiting until it answers."""
        self.prepare()
        log = self.log_file
        self._log_before = (log, log.stat().st_size if log else 0)
        self._forget_output()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  read when it fails
        process = self.around.identity.spawn(self.command(), stdin=subprocess.PIPE, output=self._output)
        self._process, self._ready, self.started_by_us = OwnProcess(process), False, True
        if process.stdin:
            with suppress(BrokenPipeError), process.stdin as stdin:  # it ended already: seen when it is waited for
                stdin.write(self.standard_input())

    def wait_until_ready(self, deadline: float) -> None:
        """Until it answers, or `time.monotonic()` passes the deadline."""
        begun = time.monotonic()
        while not self.answers():
            if not self.alive():
                if self.started_by_us:
                    raise self.failure(f"{self.title} did not start ({self.ending()}).")
                self.start()  # was on its way out when adopted
            if time.monotonic() > deadline:
                raise self.failure(f"{self.title} does not answer yet; it may still be recovering from a crash.")
            # A longer recovery is asked after less often: each refusal is a line in the log.
            time.sleep(_POLL_SECONDS if time.monotonic() - begun < 1 else 20 * _POLL_SECONDS)
        self._ready = True

    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket_path))
                return self.greets(connection)
        except OSError:
            return False

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def reachable(self) -> bool:
        """Alive, and its socket, once made, not taken away."""
        if not self.alive():
            return False
        self._ready = self._ready or self.socket_path.exists()
        return not self._ready or self.socket_path.exists()

    def ending(self) -> str:
        return self._process.ending() if self._process else "it is gone"

    def ask_to_stop(self) -> None:
        if self._process and self._process.alive():
            self._process.send(self.stop_signals[0][0])

    def stop(self) -> None:
        for number, seconds in self.stop_signals:
            if self._process is None or not self._process.alive():
                break
            self._process.send(number)
            self._process.wait(seconds)
        self._forget_output()

    def failure(self, what: str) -> EngineError:
        lines = self.last_lines()
        text = "\n".join([what, *(["It wrote last:"] if lines else []), *(f"  {line}" for line in lines)])
        if any("No space left on device" in line for line in lines):
            advice = f"The disk is full: free some space for {self.folder}."
        else:
            log = self.log_file
            advice = f"Its log is {log}. " if log else ""
            advice += f"To use a server of your own instead, set {self.variable}."
        return EngineError(f"{text}\n{advice}")

    def last_lines(self) -> list[str]:
        """What it wrote last since it was started, first to its output and then to its log, without passwords."""
        texts = []
        if self._output:
            self._output.seek(0)
            texts.append(self._output.read())
        log = self.log_file
        if log:
            with log.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                before = self._log_before[1] if log == self._log_before[0] else 0
                file.seek(max(size - 16_384, before if before <= size else 0))
                texts.append(file.read())
        text = "\n".join(part.decode(errors="replace") for part in texts)
        return [line for line in self.around.passwords.conceal(text).splitlines() if line.strip()][-_LAST_LINES:]

    def _forget_output(self) -> None:
        if self._output:
            self._output.close()
            self._output = None

"""A running engine, as the process that started it sees it; `found` has those that were started by others."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod

_POLL_SECONDS = 0.01


class EngineProcess(ABC):
    @abstractmethod
    def alive(self) -> bool: ...

    @abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone."""

    def ending(self) -> str:
        """How it ended, for people."""
        return "it is gone"

    def wait(self, seconds: float) -> bool:
        """Whether it ended in that time."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


class OwnProcess(EngineProcess):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ending(self) -> str:
        code = self._process.poll()
        if code is None:
            return "it runs"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

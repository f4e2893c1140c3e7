"""The processes of a hub that was killed. They stop by themselves; the next hub waits for that and knows them by
a file in the data directory, each with the time at which it began, because process ids are used again.
"""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from exai.embedded.private_file import write_privately
from exai.supervisor.exit_codes import StopRequested
from exai.supervisor.signals import Signals

if TYPE_CHECKING:
    # Imported only where something is left: most starts do without its time and memory.
    import psutil

# Between our clock when we started it and what the system says of its beginning.
_TOLERANCE_SECONDS = 3.0
_SECONDS_TO_DIE = 5.0


class ProcessList:
    """The file. Only the hub that holds the data directory's lock may touch it."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "processes.json"

    def write(self, processes: Iterable[tuple[int, float]]) -> None:
        """Pids, each with the time since the epoch at which it began."""
        write_privately(self._path, json.dumps(list(processes)))

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def living(self) -> "list[psutil.Process]":
        """Those of the file that still run."""
        try:
            known = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return [process for pid, began in known if (process := _same_process(pid, began))]

    def wait_for_leftovers(self, signals: Signals, *, patience: float, tell: Callable[[str], None]) -> None:
        """Returns when none is left; after `patience` seconds the rest is killed. Raises `StopRequested`."""
        left = self.living()
        if left:
            tell("Waiting for the processes of a hub that was killed: they finish the calls that run.")
        # No signal: they notice by their pipe that the supervisor is gone, and a web process takes a second request
        # to stop for an order to hurry.
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            if signals.stopping:
                raise StopRequested
            signals.wait(0.1)
            left = self.living()
        for process in left:
            _kill(process)
        self.clear()


def _same_process(pid: int, began: float) -> "psutil.Process | None":
    import psutil

    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - began) < _TOLERANCE_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _kill(process: "psutil.Process") -> None:
    import psutil

    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process.kill()
        process.wait(_SECONDS_TO_DIE)

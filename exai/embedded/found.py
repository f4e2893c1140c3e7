"""Engines, and what is left of them, among the processes that others started.

Imported only where something may be found: a start after a clean stop does without psutil.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from exai.embedded.process import EngineProcess


class FoundProcess(EngineProcess):
    """psutil compares start times: a pid that was given to another program counts as ended."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def alive(self) -> bool:
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def send(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)


def find_engine(program: str, folder: Path, uid: int, pid_file: Path, *, thorough: bool) -> FoundProcess | None:
    """The engine `program` of user `uid` that runs on `folder`.

    Looked for where its pid file says, and with `thorough` among all processes. A pid alone proves nothing: after a
    reboot or a kill it may be another program's.
    """
    for process in _candidates(_pid_in(pid_file), thorough):
        if _is_engine(process, program, folder, uid):
            return FoundProcess(process)
    return None


def end_remnants(uid: int, belongs: Callable[[list[str]], bool]) -> None:
    """Kill the processes of user `uid` whose command line `belongs`, and what they started."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.uids().real == uid and belongs(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    for remnant in [FoundProcess(process) for process in found]:
        remnant.send(signal.SIGKILL)
        remnant.wait(5)


def pid_in_use(pid_file: Path) -> bool:
    """Whether some process, whichever, has the pid of the file."""
    pid = _pid_in(pid_file)
    return pid is not None and psutil.pid_exists(pid)


def _candidates(pid: int | None, thorough: bool) -> Iterator[psutil.Process]:
    if pid is not None:
        with suppress(psutil.NoSuchProcess, ValueError, OverflowError):
            yield psutil.Process(pid)
    if thorough:
        yield from psutil.process_iter()


def _is_engine(process: psutil.Process, program: str, folder: Path, uid: int) -> bool:
    """Told by its command line, which names the folder: unlike cwd and exe it can be read without privileges.

    Processes that an engine forks share its command line for a while, but have it as parent or as session leader.
    """
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE or process.uids().real != uid:
                return False
            command = process.cmdline()
        if not command or Path(command[0]).name != program or str(folder) not in command[1:]:
            return False
        parent = process.parent()
        return os.getsid(process.pid) == process.pid and (parent is None or parent.cmdline() != command)
    except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError):
        return False  # gone meanwhile, or not of that user


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None

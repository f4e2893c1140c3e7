"""Locks in the data directory. The kernel frees them when their holder dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from exai.embedded.errors import EngineError
from exai.embedded.places import make_data_dir


class FileLock:
    """`flock` on a file that stays: removing it would let two processes lock two files of one name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Not inherited by child processes, as every descriptor that Python opens.
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def take(self, patience: float) -> None:
        """Wait at most `patience` seconds to be the only holder."""
        deadline = time.monotonic() + patience
        while not self.try_take():
            if time.monotonic() > deadline:
                raise EngineError(
                    f"Another process has been starting or stopping the engines for {patience:.0f} s "
                    f"(it holds {self.path}). Wait for it, or end it."
                )
            time.sleep(0.02)

    def try_take(self) -> bool:
        return self._lock(fcntl.LOCK_EX)

    def share(self) -> None:
        """Hold it beside others. To be called only where nobody can be the only holder."""
        if not self._lock(fcntl.LOCK_SH):
            raise EngineError(f"{self.path} is locked by a program that is not the hub. End that program.")

    def release(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> str:
        return "" if self._descriptor is None else os.pread(self._descriptor, 64, 0).decode(errors="replace")

    def write(self, text: str) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def _lock(self, kind: int) -> bool:
        if self._descriptor is None:
            return False
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class HubRunningError(Exception):
    """Another hub uses the data directory."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        self.pid = int(pid) if pid.isdigit() else None
        who = f"process {pid}" if self.pid else "another process"
        super().__init__(
            f"Another hub ({who}) runs on the data directory {data_dir}. "
            "Stop it first, or give this one its own EXAI_DATA_DIR and EXAI_PORT."
        )


class HubLock:
    """One hub a data directory, for as long as the context lasts."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock: FileLock | None = None

    def __enter__(self) -> Self:
        """Raises `HubRunningError`, and `OSError` where the data directory cannot be written."""
        lock = FileLock(make_data_dir(self._data_dir) / "hub.lock")
        if not lock.try_take():
            pid = lock.read().strip()
            lock.close()
            raise HubRunningError(self._data_dir, pid)
        lock.write(f"{os.getpid()}\n")
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock:
            self._lock.write("")
            self._lock.close()
            self._lock = None


def hold_hub_lock(data_dir: Path) -> HubLock:
    return HubLock(data_dir)

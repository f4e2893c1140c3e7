"""Files that are just coming, or are here only while they are read, in a folder of their own.

Whoever uses one holds a lock on it, which goes with its process: what is not locked is left over from a dead one.
"""

import fcntl
import os
import secrets
from pathlib import Path


class Staged:
    """A locked file of `Staging`. Its methods block."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def write(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """On disk when it returns."""
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Gives the lock back, and removes the file unless it was moved away. May be called again."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            self.path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


class Staging:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self) -> Staged:
        """A new file that only its owner may read."""
        while True:
            for folder in (self._folder.parent, self._folder):  # `mode` is not that of the parents that it makes
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / secrets.token_hex(16)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return Staged(path, descriptor)
            os.close(descriptor)  # it was taken for a leftover before it was locked

    def remove_leftovers(self) -> int:
        """Removes the files of dead processes. How many."""
        removed = 0
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
                removed += 1
            except BlockingIOError:
                pass  # in use
            finally:
                os.close(descriptor)
        return removed

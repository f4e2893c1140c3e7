"""What the children write to their standard output and error, read by one thread and kept in rotating files.

The reading never waits for the supervisor: a child whose pipe is full would stand still.
"""

import os
import selectors
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from exai.supervisor.rotation import RotatingFile

_READ_BYTES = 64 * 1024
_LONGEST_LINE = 256 * 1024  # a longer one is written in pieces
_REMEMBERED_LINES = 15
_SECONDS_TO_DRAIN = 2.0


@dataclass
class _Stream:
    """One life of one child: its pipe, the line it has begun, and the last ones that it wrote."""

    file: RotatingFile
    begun: bytes = b""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_LINES))
    ended: threading.Event = field(default_factory=threading.Event)


class Logs:
    """The log files of the hub, under one private folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._own = RotatingFile(folder / "supervisor.log")
        self._files: dict[str, RotatingFile] = {}
        self._streams: dict[str, _Stream] = {}
        self._selector = selectors.DefaultSelector()
        self._closing = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read_all, name="logs", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def path(self, log: str) -> Path:
        return self.folder / f"{log}.log"

    def open(self, child: str, log: str) -> int:
        """A descriptor for a new life of this child to write to; the caller closes it once the child has it.

        Several children may share a log; whole lines are written, so they do not mix.
        """
        if log not in self._files:
            self._files[log] = RotatingFile(self.path(log))
        read_end, write_end = os.pipe()
        stream = self._streams[child] = _Stream(self._files[log])
        self._selector.register(read_end, selectors.EVENT_READ, stream)
        self._wake()
        return write_end

    def last_lines(self, child: str, *, timeout: float = 1.0) -> list[str]:
        """The last lines of a child that has ended; waits a moment for what is still in its pipe."""
        stream = self._streams.get(child)
        if stream is None:
            return []
        stream.ended.wait(timeout)
        return list(stream.last)

    def note(self, sentence: str) -> None:
        """Writes a sentence of the supervisor itself."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._own.write(f"{stamp} {sentence}\n".encode(errors="replace"))

    def close(self) -> None:
        """Writes what the children have left in their pipes and closes the files."""
        self._closing.set()
        self._wake()
        self._thread.join(_SECONDS_TO_DRAIN)
        for file in [*self._files.values(), self._own]:
            file.close()

    def _wake(self) -> None:
        os.write(self._wake_write, b"\0")

    def _read_all(self) -> None:
        while True:
            # Once closing, what can be read without waiting is the rest: a stray program may hold a pipe open for ever.
            ready = self._selector.select(0 if self._closing.is_set() else None)
            if not ready and self._closing.is_set():
                return
            for key, _ in ready:
                self._read(key.fd, key.data)

    def _read(self, fd: int, stream: _Stream | None) -> None:
        chunk = os.read(fd, _READ_BYTES)
        if stream is None:
            return
        *lines, begun = (stream.begun + chunk).split(b"\n")
        if begun and (not chunk or len(begun) > _LONGEST_LINE):
            lines, begun = [*lines, begun], b""
        stream.begun = begun
        if lines:
            stream.file.write(b"\n".join(lines) + b"\n")
            stream.last.extend(line.decode(errors="replace") for line in lines[-_REMEMBERED_LINES:])
        if not chunk:
            self._selector.unregister(fd)
            os.close(fd)
            stream.ended.set()

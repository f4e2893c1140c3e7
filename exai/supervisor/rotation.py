"""Log files that are set aside when they are full: web.log, web.log.1 (the last one), … web.log.5."""

import os
from pathlib import Path

_LARGEST = 10 * 1024 * 1024
_KEPT = 5


class RotatingFile:
    """Appends bytes. A disk that is full loses lines and stops nobody: `lost` counts them."""

    def __init__(self, path: Path, *, largest: int = _LARGEST, kept: int = _KEPT) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._fd = -1
        self._size = 0
        self.lost = 0

    def write(self, lines: bytes) -> None:
        try:
            if self._fd < 0:
                self._open()
            if self._size and self._size + len(lines) > self._largest:
                self._rotate()
            written = 0
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
            self._size += written
        except OSError:
            self.lost += lines.count(b"\n")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

"""Where the supervisor speaks to people: its own standard output and error. When nobody reads any more, it goes on."""

import os
import sys
from typing import TextIO


def open_standard_streams() -> None:
    """Makes sure that descriptors 0, 1 and 2 exist: else the next socket that is opened would be taken for one."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Console:
    """Lines for people. `terminal` is true when a person most likely sees them: secrets are shown there only."""

    def __init__(self) -> None:
        self.terminal = sys.stdout is not None and sys.stdout.isatty()
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._coloured = self.terminal and not plain

    def say(self, line: str = "") -> None:
        _write(sys.stdout, line)

    def warn(self, line: str) -> None:
        _write(sys.stderr, line)

    def bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._coloured else text

    def faint(self, text: str) -> str:
        return f"\033[2m{text}\033[0m" if self._coloured else text


def _write(stream: TextIO | None, line: str) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        # Paths may hold bytes that are no text.
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        # The reader is gone. What is left in the buffer would fail once more when Python exits.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

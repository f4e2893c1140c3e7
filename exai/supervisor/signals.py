"""Requests to stop, and the one place where the supervisor sleeps.

A signal only sets a flag and wakes: nothing is interrupted half-done, but what asks for it.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from exai.supervisor.exit_codes import StopRequested

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One Ctrl-C may arrive twice: from the terminal, and passed on by a program that started this one.
_ONE_PRESS_SECONDS = 0.3


class Signals:
    """Once installed, SIGINT, SIGTERM and SIGHUP ask to stop, a later SIGINT to hurry.

    The end of a child wakes `wait`.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.hurried = False
        self._interrupt = False
        self._asked_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """For good; used as a context, what was there before is put back."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _STOPPING:
            self._before[number] = signal.signal(number, self._ask)
        # Without a handler the end of a child would not wake.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def ignore(self) -> None:
        """All is done: a Ctrl-C too many must not change how the process ends."""
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float, *readable: int) -> list[int]:
        """Sleeps until a signal, `wake`, or one of these descriptors has something to read; returns those that have."""
        ready, _, _ = select.select([self._read, *readable], [], [], max(seconds, 0))
        if self._read in ready:
            while True:
                try:
                    os.read(self._read, 512)
                except BlockingIOError:
                    break
        return [fd for fd in ready if fd != self._read]

    def wake(self) -> None:
        """Ends the current `wait`, or the next; any thread may call it."""
        with suppress(BlockingIOError):  # full: it is awake already
            os.write(self._write, b"\0")

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a request to stop raises `StopRequested` at once: for a long step that cleans up after itself."""
        if self.stopping:
            raise StopRequested
        self._interrupt = True
        try:
            yield
        finally:
            self._interrupt = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.stopping:
            self.stopping, self._asked_at = True, now
            if self._interrupt:
                self._interrupt = False
                raise StopRequested
        elif number == signal.SIGINT and now - self._asked_at > _ONE_PRESS_SECONDS:
            # Not so for the others: a terminal that closes and a service manager send several.
            self.hurried = True

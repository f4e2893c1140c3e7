"""The hub while it runs: watches children and engines, tells when it is ready, and stops all in order."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from exai.embedded.engines import Engines
from exai.embedded.errors import EngineError
from exai.supervisor.children import Child
from exai.supervisor.leftovers import ProcessList
from exai.supervisor.readiness import Readiness
from exai.supervisor.signals import Signals

_REVIVE_SECONDS = 1.0
_SLOW_START_SECONDS = 5.0
_REMIND_SECONDS = 15.0
_DRAIN_MARGIN_SECONDS = 12.0  # what a web process needs beyond its drain, to write and to say goodbye
_WORKER_SECONDS = 15.0


class RunningHub:
    """`run` returns when somebody asked to stop; `stop` ends the children, whatever state they are in."""

    def __init__(
        self,
        *,
        web: Iterable[Child],
        worker: Child,
        engines: Engines,
        signals: Signals,
        processes: ProcessList,
        tell: Callable[[str], None],
    ) -> None:
        self._web = list(web)
        self._worker = worker
        self._children = [*self._web, worker]
        self._engines = engines
        self._signals = signals
        self._processes = processes
        self._tell = tell
        self._revive_at = time.monotonic() + _REVIVE_SECONDS

    def run(self, readiness: Readiness, announce: Callable[[], None]) -> None:
        """Raises `HubError` when a child crashes too often, and what the engines raise when they are beyond revival."""
        for child in self._children:
            child.start()
        self._list_processes()
        started = time.monotonic()
        remind_at = started + _SLOW_START_SECONDS
        announced = False
        while not self._signals.stopping:
            started_again = [child for child in self._children if child.restart_when_due(self._tell)]
            if started_again:
                self._list_processes()
            self._revive_engines()
            now = time.monotonic()
            if readiness.ready and not announced:
                announce()
                announced = True
            elif not announced and now >= remind_at:
                self._tell(f"Not ready after {now - started:.0f} s: {readiness.missing}")
                remind_at = now + _REMIND_SECONDS
            self._signals.wait(self._next_deadline() - now)

    def stop(self, drain_secs: float) -> None:
        """Web first, so that running calls end while everything they need is there; then the worker."""
        self._end(self._web, drain_secs + _DRAIN_MARGIN_SECONDS)
        self._end([self._worker], _WORKER_SECONDS)
        self._processes.clear()

    def _end(self, children: list[Child], patience: float) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + patience
        while any(child.running for child in children):
            now = time.monotonic()
            if now >= deadline or self._signals.hurried:
                break
            with suppress(EngineError):  # told once already, or not worth telling now
                self._revive_engines()
            self._signals.wait(min(deadline - now, _REVIVE_SECONDS))
        for child in children:
            if child.running:
                if not self._signals.hurried:
                    self._tell(f"{child.program.name} did not stop within {patience:g} s; it is killed.")
                child.kill()

    def _revive_engines(self) -> None:
        if time.monotonic() >= self._revive_at:
            for sentence in self._engines.revive():
                self._tell(sentence)
            self._revive_at = time.monotonic() + _REVIVE_SECONDS

    def _next_deadline(self) -> float:
        return min([self._revive_at, *(child.starts_at for child in self._children if child.starts_at is not None)])

    def _list_processes(self) -> None:
        self._processes.write([child.identity for child in self._children if child.identity is not None])

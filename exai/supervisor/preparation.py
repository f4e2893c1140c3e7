"""Runs `manage.py prepare` before anything serves, and reads what it made through a pipe: secrets travel there only."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from exai.settings.server import PROJECT_DIR
from exai.supervisor.children import Child, Program, how_it_ended
from exai.supervisor.credentials import Prepared, untold_file
from exai.supervisor.exit_codes import PREPARATION, HubError, StopRequested
from exai.supervisor.leftovers import ProcessList
from exai.supervisor.logs import Logs
from exai.supervisor.signals import Signals

_SECONDS_TO_STOP = 10.0


def prepare(environment: Mapping[str, str], *, logs: Logs, signals: Signals, processes: ProcessList) -> Prepared:
    """Raises `HubError` with the reason when it fails, `StopRequested` when somebody stops it."""
    read_end, write_end = os.pipe()
    command = (sys.executable, str(PROJECT_DIR / "manage.py"), "prepare", f"--report-fd={write_end}")
    child = Child(Program("prepare", "prepare", command, environment, (write_end,)), logs)
    try:
        try:
            child.start()
        finally:
            os.close(write_end)
        processes.write([child.identity] if child.identity else [])
        report = _read_report(read_end, child, signals)
    finally:
        os.close(read_end)
    answer = json.loads(report) if report else {}
    if child.exit_code() == 0 and "error" not in answer:
        return Prepared.from_json(answer)
    raise HubError(answer.get("error") or _last_words(child, logs), PREPARATION)


def told(data_dir: Path) -> None:
    """Somebody was told what the first run made: the next one keeps quiet about it."""
    untold_file(data_dir).unlink(missing_ok=True)


def _read_report(fd: int, child: Child, signals: Signals) -> bytes:
    """Everything the child says until it has ended."""
    report = b""
    open_ = True
    while child.running:
        if signals.stopping:
            _stop(child, signals)
            raise StopRequested
        if open_ and signals.wait(1, fd):
            chunk = os.read(fd, 65_536)
            report += chunk
            open_ = bool(chunk)
        elif not open_:
            signals.wait(1)
    while open_ and (chunk := os.read(fd, 65_536)):
        report += chunk
    return report


def _stop(child: Child, signals: Signals) -> None:
    child.ask_to_stop()
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while child.running and time.monotonic() < deadline and not signals.hurried:
        signals.wait(0.2)
    child.kill()


def _last_words(child: Child, logs: Logs) -> str:
    lines = "".join(f"\n    {line}" for line in logs.last_lines(child.program.name))
    ended = how_it_ended(child.exit_code() or 0)
    return f"Preparing the database failed: it {ended}. Its last lines (all are in {logs.path('prepare')}):{lines}"

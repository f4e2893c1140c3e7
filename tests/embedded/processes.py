"""The engines of a data directory as the operating system sees them, and bounded waits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], T], seconds: float = 20) -> T:
    """The first value that counts as true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.005)
    return value


def command_lines(processes: Iterable[psutil.Process]) -> list[str]:
    lines = []
    for process in processes:
        try:
            lines.append("\0".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return lines


def processes_naming(path: Path) -> list[psutil.Process]:
    """Living processes whose command line names the path; without Python's, and what is just being forked."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = process.cmdline()
            if any(str(path) in part for part in command) and "python" not in Path(command[0]).name:
                found[process.pid] = process
    return [process for process in found.values() if _parent(process) not in found]


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


def engine(data_dir: Path, program: str) -> psutil.Process:
    [process] = [process for process in processes_naming(data_dir) if process.name() == program]
    return process


def answers(url: str) -> bool:
    """Whether the engine at this URL serves a new connection."""
    if url.startswith("unix:"):
        with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as valkey:
            try:
                return bool(valkey.ping())
            except RedisConnectionError:
                return False
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def kill(process: psutil.Process) -> None:
    process.kill()
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


@dataclass
class Holder:
    """`tests.embedded.holder` on a data directory."""

    data_dir: Path
    python: str = sys.executable
    user: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [self.python, "-m", "tests.embedded.holder", str(self.data_dir)],
            cwd=PROJECT,
            env={**os.environ, **self.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            umask=self.umask,
        )

    def report(self) -> dict[str, Any]:
        assert self.process.stdout
        report: dict[str, Any] = json.loads(self.process.stdout.readline())
        return report

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def leave(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        return status

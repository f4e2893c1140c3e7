"""Real workers, as the supervisor starts them: one of them schedules, and each stops promptly."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from exai.embedded.engines import start_engines
from exai.scheduler import LEASE_KEY
from exai.settings.hub import parse
from exai.supervisor.children import Child
from exai.supervisor.logs import Logs
from exai.supervisor.programs import worker_program
from tests.hub import hub_environment
from tests.supervisor.programs import eventually

PROMPTLY_S = 2.0
READY = " ready."
SCHEDULES = "This worker schedules from now on"


class Workers:
    """Two workers on a Valkey of their own; each has a pipe to its supervisor, this test."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.store = redis.Redis.from_url(redis_url, decode_responses=True)
        self.logs = Logs(folder / "logs")
        self.pipes: dict[str, int] = {}
        self.children: dict[str, Child] = {}
        variables = {"EXAI_DATA_DIR": str(folder / "data"), "DATABASE_URL": "postgresql://elsewhere/exai"}
        environment = hub_environment({**variables, "REDIS_URL": redis_url, "EXAI_DRAIN_SECS": "5"})
        for name in ("one", "two"):
            parent_fd, self.pipes[name] = os.pipe()
            program = worker_program(parse(variables), environment, parent_fd=parent_fd)
            child = Child(
                type(program)(name, name, program.command, program.environment, program.descriptors), self.logs
            )
            child.start()
            os.close(parent_fd)
            self.children[name] = child

    def log(self, name: str) -> str:
        path = self.logs.path(name)
        return path.read_text() if path.exists() else ""

    def scheduling(self) -> list[str]:
        return [name for name in self.children if SCHEDULES in self.log(name)]

    def end(self) -> None:
        for child in self.children.values():
            child.kill()
        for fd in self.pipes.values():
            os.close(fd)
        self.logs.close()
        self.store.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    folder = Path(tempfile.mkdtemp(prefix="exai-test-", dir="/tmp"))
    folder.chmod(0o711)  # under root the engine runs as another user
    settings = parse({"EXAI_DATA_DIR": f"{folder}/data", "DATABASE_URL": "postgresql://elsewhere/exai"})
    with start_engines(settings) as engines:
        workers = Workers(folder, engines.environment()["REDIS_URL"])
        yield workers
        workers.end()
    shutil.rmtree(folder)


def test_one_worker_schedules_and_the_other_takes_over_when_it_stops(workers: Workers) -> None:
    assert eventually(lambda: all(READY in workers.log(name) for name in workers.children))
    assert eventually(lambda: len(workers.scheduling()) == 1)
    owner = workers.store.get(LEASE_KEY)
    (first,) = workers.scheduling()

    workers.children[first].ask_to_stop()
    asked = time.monotonic()
    assert eventually(lambda: not workers.children[first].running)
    assert time.monotonic() - asked < PROMPTLY_S
    assert workers.children[first].exit_code() == 0

    assert eventually(lambda: len(workers.scheduling()) == 2)
    assert workers.store.get(LEASE_KEY) not in (None, owner)


def test_a_worker_whose_supervisor_died_stops_by_itself(workers: Workers) -> None:
    assert eventually(lambda: all(READY in workers.log(name) for name in workers.children))
    os.close(workers.pipes.pop("one"))
    assert eventually(lambda: not workers.children["one"].running)
    assert workers.children["one"].exit_code() == 0
    assert workers.children["two"].running


def test_the_logs_of_a_worker_hold_no_password(workers: Workers) -> None:
    assert eventually(lambda: all(READY in workers.log(name) for name in workers.children))
    password = workers.store.connection_pool.connection_kwargs["password"]
    assert len(password) > 10
    assert all(password not in workers.log(name) for name in workers.children)

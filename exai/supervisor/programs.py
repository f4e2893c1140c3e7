"""The programs that make up the hub, and the environment they get."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from exai.settings.hub import ENV_FILE_VARIABLE, HubSettings
from exai.supervisor.children import Program

PARENT_FD_VARIABLE = "EXAI_PARENT_FD"  # read by exai.celery in the worker


def environment_for_children(engines: Mapping[str, str]) -> dict[str, str]:
    """Ours, and where the engines are. Children run in the project's folder: relative paths are made absolute."""
    environment = {**os.environ, **engines}
    environment.pop(PARENT_FD_VARIABLE, None)
    if environment.get(ENV_FILE_VARIABLE):
        environment[ENV_FILE_VARIABLE] = str(Path(environment[ENV_FILE_VARIABLE]).absolute())
    return environment


def web_programs(
    settings: HubSettings, environment: Mapping[str, str], *, socket_fd: int, parent_fd: int
) -> list[Program]:
    """The web processes; all accept from one socket."""
    command = (sys.executable, "-m", "exai.web", f"--fd={socket_fd}", f"--parent-fd={parent_fd}")
    count = settings.web_processes
    names = ["web"] if count == 1 else [f"web {number}" for number in range(1, count + 1)]
    return [Program(name, "web", command, environment, (socket_fd, parent_fd)) for name in names]


def worker_program(settings: HubSettings, environment: Mapping[str, str], *, parent_fd: int) -> Program:
    """The Celery worker, with the scheduler in it. Threads: a process for each task would double the memory."""
    command = (
        *(sys.executable, "-m", "celery", "--app=exai.celery", "--quiet", "--skip-checks", "worker"),
        *("--pool=threads", "--concurrency=4", f"--loglevel={settings.log_level}"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )
    return Program("worker", "worker", command, {**environment, PARENT_FD_VARIABLE: str(parent_fd)}, (parent_fd,))

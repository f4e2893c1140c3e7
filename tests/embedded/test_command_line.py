"""`manage.py` while the hub is down."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.embedded.processes import PROJECT, processes_naming

ASK = (
    "from django.db import connection as c; k = c.cursor(); k.execute('SELECT current_database()'); print(k.fetchone())"
)
WAIT = "import signal; print('ready', flush=True); signal.pause()"


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return {**kept, "EXAI_DATA_DIR": str(data_dir), "EXAI_ENV_FILE": os.devnull, **variables}


def manage(data_dir: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", *arguments],
        env=environment(data_dir, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_command_has_the_databases_for_its_own_time(data_dir: Path) -> None:
    done = manage(data_dir, "shell", "-v0", "-c", ASK)

    assert (done.returncode, done.stdout) == (0, "('exai',)\n"), done.stderr
    assert processes_naming(data_dir) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_broken_off_leaves_nothing_running(
    data_dir: Path, number: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        [sys.executable, PROJECT / "manage.py", "shell", "-v0", "-c", WAIT],
        env=environment(data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        assert command.stdout
        assert command.stdout.readline() == "ready\n"
        os.killpg(command.pid, number)
        _, errors = command.communicate(timeout=30)

    assert (command.returncode, errors) == (status, "")
    assert processes_naming(data_dir) == []


def test_a_command_that_fails_leaves_nothing_running(data_dir: Path) -> None:
    assert manage(data_dir, "no_such_command").returncode == 1
    assert processes_naming(data_dir) == []


@pytest.mark.parametrize("arguments", [["check"], ["migrate", "--help"], ["makemigrations", "--check", "--dry-run"]])
def test_commands_that_need_no_database_start_none(fresh_dir: Path, arguments: list[str]) -> None:
    done = manage(fresh_dir, *arguments)

    assert (done.returncode, done.stderr) == (0, "")
    assert not fresh_dir.exists()


def test_a_wrong_setting_is_named_without_a_traceback(fresh_dir: Path) -> None:
    done = manage(fresh_dir, "migrate", EXAI_PORT="eighty")

    assert done.returncode == 2
    assert done.stderr == (
        "The configuration is wrong:\n  - EXAI_PORT='eighty': should be a whole number from 1 to 65535\n"
    )
    assert not fresh_dir.exists()


def test_databases_that_cannot_start_are_named_without_a_traceback(fresh_dir: Path) -> None:
    fresh_dir.write_text("")

    done = manage(fresh_dir, "migrate")

    assert done.returncode == 1
    assert done.stderr.startswith("The databases cannot be started under ")
    assert "Traceback" not in done.stderr

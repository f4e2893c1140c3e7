"""The whole hub by `manage.py up`: engines, web process and worker, as they are in earnest."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hub import PROJECT_DIR
from tests.supervisor.programs import eventually
from tests.supervisor.up import Up, run_up, up_environment

LARGEST_PSS = 250 * 1000 * 1000


def make_folder() -> Path:
    # Not pytest's: under root the engines run as another user, which must be able to pass.
    folder = Path(tempfile.mkdtemp(prefix="exai-up-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def hub() -> Iterator[Up]:
    """One first run without a terminal, for tests that leave it as it is."""
    made = make_folder()
    with Up(up_environment(made / "a folder")) as up:
        yield up
    shutil.rmtree(made)


def test_the_first_run_makes_a_client_whose_token_lies_in_a_private_file(hub: Up) -> None:
    token_file = hub.data_dir / "client.token"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert hub.accepts(hub.token())


def test_without_a_terminal_no_secret_is_printed_nor_logged(hub: Up) -> None:
    secrets = [hub.token(), (hub.data_dir / "secret.key").read_text(), *engine_passwords(hub)]
    assert len(secrets) > 3
    assert not any(secret in hub.read() or secret in hub.log_text() for secret in secrets)
    assert f"{hub.data_dir}/client.token" in hub.read()
    assert "changepassword admin" in hub.read()


def test_no_secret_stands_in_a_command_line(hub: Up) -> None:
    lines = [" ".join(process.cmdline()) for process in hub.processes()]
    assert len(lines) > 3
    assert not any(secret in line for line in lines for secret in [hub.token(), *engine_passwords(hub)])


def test_a_second_hub_on_one_data_directory_is_refused(hub: Up) -> None:
    second = run_up({**hub.environment, "EXAI_PORT": "1"})
    assert second.returncode == 3
    assert str(hub.process.pid) in second.stderr


def test_a_port_in_use_is_named_before_anything_is_started(hub: Up, folder: Path) -> None:
    second = run_up(up_environment(folder, EXAI_PORT=str(hub.port)))
    assert second.returncode == 3
    assert re.search(rf"{hub.port}.*in use.*EXAI_PORT", second.stderr)
    assert not (folder / "data/postgres").exists()


def test_a_web_process_that_crashes_is_started_again(hub: Up) -> None:
    (web,) = hub.python("exai.web")
    web.kill()
    assert eventually(lambda: "web was killed by SIGKILL" in hub.read())
    assert eventually(lambda: [process.pid for process in hub.python("exai.web")] not in ([], [web.pid]))
    assert hub.accepts(hub.token())  # waits for it: the socket listens all the time


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells proportional memory")
def test_all_processes_of_ours_together_are_small(hub: Up) -> None:
    ours = [psutil.Process(hub.process.pid), *hub.python("exai.web"), *hub.python("exai.celery")]
    assert len(ours) == 3
    assert sum(process.memory_full_info().pss for process in ours) < LARGEST_PSS


def test_wrong_settings_are_named_all_at_once_and_nothing_starts(folder: Path) -> None:
    wrong = run_up(up_environment(folder, EXAI_PORT="none", EXAI_LOG_LEVEL="loud", EXAI_WEB_PROCESES="2"))
    assert wrong.returncode == 2
    assert "EXAI_PORT" in wrong.stderr
    assert "EXAI_LOG_LEVEL" in wrong.stderr
    assert list(folder.iterdir()) == []


def test_a_terminal_shows_the_secrets_of_a_first_run_once_even_if_that_was_cut_off_before(folder: Path) -> None:
    environment = up_environment(folder, EXAI_WEB_PROCESES="2")
    # As when the supervisor is killed between the making and the telling.
    subprocess.run(
        [sys.executable, "manage.py", "prepare", "--report-fd=1"],
        cwd=PROJECT_DIR,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    with Up(environment, terminal=True) as first:
        assert eventually(lambda: "Ctrl-C stops it" in first.read())
        assert first.read().count(first.token()) == 1
        assert re.search(r"Admin password +\S{12,}\n", first.read())
        assert "did you mean EXAI_WEB_PROCESSES?" in first.read()
        token = first.token()
        left = first.processes()
        first.press_ctrl_c()
        assert first.process.wait(30) == 0
        assert psutil.wait_procs(left, timeout=10)[1] == []
    with Up(environment, terminal=True) as second:
        assert second.accepts(token)
        assert token not in second.read()
        assert "Admin password" not in second.read()


def test_a_killed_hub_leaves_nothing_that_blocks_the_next(folder: Path) -> None:
    environment = up_environment(folder)
    with Up(environment) as killed:
        children = killed.python("exai.web") + killed.python("exai.celery")
        token = killed.token()
        killed.end(signal.SIGKILL)
    with Up(environment) as following:
        assert psutil.wait_procs(children, timeout=10)[1] == []
        assert following.accepts(token)
        left = following.processes()
        assert following.end() == 0
    assert psutil.wait_procs(left, timeout=10)[1] == []


def test_several_web_processes_share_the_socket_and_stop_together(folder: Path) -> None:
    with Up(up_environment(folder, EXAI_WEB_PROCESSES="2")) as hub:
        web = hub.python("exai.web")
        assert len(web) == 2
        os.kill(web[0].pid, signal.SIGSTOP)  # the other one serves alone
        assert hub.accepts(hub.token())
        os.kill(web[0].pid, signal.SIGCONT)
        assert hub.end(signal.SIGHUP) == 0
        assert psutil.wait_procs(web, timeout=10)[1] == []


def test_a_second_ctrl_c_ends_a_hub_whose_web_process_hangs(folder: Path) -> None:
    with Up(up_environment(folder, EXAI_DRAIN_SECS="60"), terminal=True) as hub:
        (web,) = hub.python("exai.web")
        web.suspend()
        left = hub.processes()

        def ended_by_pressing_again() -> bool:
            hub.press_ctrl_c()
            return hub.process.poll() is not None

        assert eventually(ended_by_pressing_again)
        assert hub.process.returncode == 0
        assert psutil.wait_procs(left, timeout=10)[1] == []


def engine_passwords(hub: Up) -> list[str]:
    """Long words in the file of passwords, whatever its form."""
    return re.findall(r"[A-Za-z0-9_-]{20,}", (hub.data_dir / "engines.passwords").read_text())

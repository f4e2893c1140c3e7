"""Children are real processes: started, started again when they crash, stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exai.supervisor.children import Backoff, Child
from exai.supervisor.exit_codes import CRASHING, HubError
from exai.supervisor.leftovers import ProcessList
from exai.supervisor.logs import Logs
from exai.supervisor.signals import Signals
from tests.supervisor.programs import eventually, python_program

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    with Logs(tmp_path / "logs") as logs:
        yield logs


def quick() -> Backoff:
    return Backoff(first=0.01, longest=0.02)


def test_rests_double_up_to_a_limit_and_the_fifth_quick_crash_is_the_last() -> None:
    backoff = Backoff(first=0.5, longest=1.5)
    assert [backoff.rest_after(1) for _ in range(5)] == [0.5, 1.0, 1.5, 1.5, None]


def test_a_minute_of_health_is_a_new_beginning() -> None:
    backoff = Backoff()
    assert [backoff.rest_after(uptime) for uptime in (1, 1, 1, 60, 1, 1, 1, 1)] == [0.5, 1, 2, 0.5, 1, 2, 4, None]


def test_a_child_that_is_killed_is_told_of_and_started_again(logs: Logs) -> None:
    child = Child(python_program(SLEEPER), logs, quick())
    child.start()
    assert child.identity is not None
    first_pid = child.identity[0]
    os.kill(first_pid, signal.SIGKILL)
    told: list[str] = []
    assert eventually(lambda: child.restart_when_due(told.append))
    assert child.identity is not None
    assert child.identity[0] != first_pid
    assert len(told) == 1
    assert told[0].startswith("web was killed by SIGKILL; it starts again in 0.01 s.")
    child.kill()


def test_a_child_that_keeps_crashing_ends_the_hub_with_its_last_lines(logs: Logs) -> None:
    child = Child(python_program("import sys; print('the reason'); sys.exit(7)"), logs, quick())
    child.start()
    told: list[str] = []

    def supervise() -> bool:
        child.restart_when_due(told.append)
        return False

    with pytest.raises(HubError) as raised:
        eventually(supervise)
    assert raised.value.exit_code == CRASHING
    assert "exit code 7" in str(raised.value)
    assert "the reason" in str(raised.value)
    assert len(told) == 4


def test_a_child_that_was_asked_to_stop_is_not_started_again(logs: Logs) -> None:
    child = Child(python_program(SLEEPER), logs, quick())
    child.start()
    child.ask_to_stop()
    assert eventually(lambda: not child.running)
    assert child.exit_code() == -signal.SIGTERM


def test_a_child_that_ignores_the_request_to_stop_can_be_killed(logs: Logs) -> None:
    child = Child(python_program(STUBBORN), logs)
    child.start()
    assert eventually(lambda: (logs.folder / "web.log").exists())
    child.ask_to_stop()
    assert child.running
    child.kill()
    assert child.exit_code() == -signal.SIGKILL


def test_the_terminals_ctrl_c_does_not_reach_a_child(logs: Logs) -> None:
    child = Child(python_program("import os; print(os.getsid(0) == os.getpid())"), logs)
    child.start()
    assert eventually(lambda: not child.running)
    assert logs.last_lines("web") == ["True"]


def test_a_child_inherits_the_descriptors_it_is_given_and_no_others(logs: Logs) -> None:
    given, other = os.pipe()
    os.set_inheritable(other, False)
    code = f"import os\nfor fd in ({given}, {other}):\n try: os.fstat(fd); print('open')\n except OSError: print('no')"
    child = Child(python_program(code, descriptors=(given,)), logs)
    child.start()
    assert eventually(lambda: not child.running)
    assert logs.last_lines("web") == ["open", "no"]
    os.close(given)
    os.close(other)


def test_the_next_hub_waits_for_processes_of_a_killed_one(logs: Logs, tmp_path: Path) -> None:
    child = Child(python_program(SLEEPER), logs)
    child.start()
    processes = ProcessList(tmp_path)
    assert child.identity is not None
    processes.write([child.identity])
    told: list[str] = []
    with Signals() as signals:
        ProcessList(tmp_path).wait_for_leftovers(signals, patience=0.3, tell=told.append)
    assert len(told) == 1
    assert eventually(lambda: not child.running)
    assert ProcessList(tmp_path).living() == []


def test_a_process_id_that_another_program_has_now_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    processes = ProcessList(tmp_path)
    processes.write([(os.getpid(), psutil.Process().create_time() - 3600)])
    assert processes.living() == []


def test_a_damaged_list_of_processes_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text("[[12")
    assert ProcessList(tmp_path).living() == []

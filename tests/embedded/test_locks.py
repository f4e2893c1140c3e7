"""One hub a data directory."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exai.embedded.locks import HubRunningError, hold_hub_lock
from tests.embedded.processes import PROJECT

HOLD = "import sys; from pathlib import Path; from exai.embedded.locks import hold_hub_lock\n"
HOLD += "with hold_hub_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_a_second_hub_on_one_data_directory_is_refused_with_the_pid_of_the_first(fresh_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(fresh_dir)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        with pytest.raises(HubRunningError, match=str(first.pid)) as caught, hold_hub_lock(fresh_dir):
            pass
        first.kill()
    assert caught.value.pid == first.pid
    assert str(fresh_dir) in str(caught.value)

    with hold_hub_lock(fresh_dir):  # a killed hub blocks nobody
        assert (fresh_dir / "hub.lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_private_and_free_again_after_its_context(fresh_dir: Path) -> None:
    for _ in range(2):
        with hold_hub_lock(fresh_dir):
            pass

    assert stat.S_IMODE((fresh_dir / "hub.lock").stat().st_mode) == 0o600
    assert (fresh_dir / "hub.lock").read_text() == ""

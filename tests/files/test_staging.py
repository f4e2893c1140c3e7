"""What is just coming is told from what was left over."""

import subprocess
import sys
from pathlib import Path

import psutil

from conversations.files.staging import Staging

_LEAVE_ONE = """
import os, signal, sys
from pathlib import Path
from conversations.files.staging import Staging
Staging(Path(sys.argv[1])).create().write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "incoming")
    living = staging.create()
    subprocess.run([sys.executable, "-c", _LEAVE_ONE, str(tmp_path / "incoming")], check=False)
    assert len(list((tmp_path / "incoming").iterdir())) == 2
    assert staging.remove_leftovers() == 1
    assert list((tmp_path / "incoming").iterdir()) == [living.path]
    living.discard()
    living.discard()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_file_that_was_moved_away_is_not_removed(tmp_path: Path) -> None:
    staged = Staging(tmp_path / "incoming").create()
    staged.write(b"whole")
    staged.path.rename(tmp_path / "place")
    staged.discard()
    assert (tmp_path / "place").read_bytes() == b"whole"


def test_without_a_folder_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert Staging(tmp_path / "none").remove_leftovers() == 0


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "incoming")
    before = psutil.Process().num_fds()
    for _ in range(10):
        staging.create().discard()
        staging.remove_leftovers()
    assert psutil.Process().num_fds() == before

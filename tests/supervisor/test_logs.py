"""Logs of the children: whole lines, private, bounded; and nobody stands still for them."""

import os
import stat
import threading
from pathlib import Path

import pytest

from exai.supervisor.logs import Logs
from exai.supervisor.rotation import RotatingFile
from tests.supervisor.programs import PATIENCE_S


def test_what_a_child_writes_is_in_its_file_when_the_logs_are_closed(tmp_path: Path) -> None:
    with Logs(tmp_path / "logs") as logs:
        fd = logs.open("web", "web")
        os.write(fd, b"one\ntwo without an end")
        os.close(fd)
    assert (tmp_path / "logs/web.log").read_text() == "one\ntwo without an end\n"


def test_folder_and_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with Logs(tmp_path / "logs") as logs:
        fd = logs.open("web", "web")
        os.write(fd, b"line\n")
        os.close(fd)
        logs.note("a sentence")
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").iterdir()} == {0o600}


def test_lines_of_two_children_in_one_log_do_not_mix(tmp_path: Path) -> None:
    with Logs(tmp_path / "logs") as logs:
        first, second = logs.open("web 1", "web"), logs.open("web 2", "web")
        for _ in range(200):
            os.write(first, b"aaaa")
            os.write(second, b"bbbb")
            os.write(first, b"aaaa\n")
            os.write(second, b"bbbb\n")
        os.close(first)
        os.close(second)
        logs.last_lines("web 1", timeout=PATIENCE_S)
        logs.last_lines("web 2", timeout=PATIENCE_S)
    assert set((tmp_path / "logs/web.log").read_text().splitlines()) == {"aaaaaaaa", "bbbbbbbb"}


def test_the_last_lines_of_a_child_are_those_of_its_last_life(tmp_path: Path) -> None:
    with Logs(tmp_path / "logs") as logs:
        for life in ("first life\n", "second life\nlast words\n"):
            fd = logs.open("web", "web")
            os.write(fd, life.encode())
            os.close(fd)
        assert logs.last_lines("web", timeout=PATIENCE_S) == ["second life", "last words"]


def test_a_child_can_write_more_than_a_pipe_holds(tmp_path: Path) -> None:
    with Logs(tmp_path / "logs") as logs:
        fd = logs.open("web", "web")

        def write() -> None:
            for _ in range(1000):
                os.write(fd, b"x" * 1023 + b"\n")
            os.close(fd)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        writer.join(PATIENCE_S)
        assert not writer.is_alive()
    assert (tmp_path / "logs/web.log").stat().st_size == 1000 * 1024


def test_a_program_that_keeps_its_pipe_open_does_not_keep_the_logs_open(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs")
    fd = logs.open("web", "web")
    closer = threading.Thread(target=logs.close, daemon=True)
    closer.start()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    os.close(fd)


def test_a_full_file_is_set_aside_and_so_many_are_kept(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "web.log", largest=10, kept=2)
    for number in range(5):
        file.write(f"line {number}\n".encode())
    file.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"web.log": "line 4\n", "web.log.1": "line 3\n", "web.log.2": "line 2\n"}


def test_a_restart_goes_on_with_the_same_file(tmp_path: Path) -> None:
    for number in range(2):
        file = RotatingFile(tmp_path / "web.log")
        file.write(f"run {number}\n".encode())
        file.close()
    assert (tmp_path / "web.log").read_text() == "run 0\nrun 1\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "web.log").symlink_to("/dev/full")
    file = RotatingFile(tmp_path / "web.log")
    file.write(b"one\ntwo\n")
    file.close()
    assert file.lost == 2

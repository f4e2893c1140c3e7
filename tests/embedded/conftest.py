"""Data directories that the engines' user can reach, and that leave nothing behind."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from exai.embedded.engines import Engines, start_engines
from exai.settings.hub import HubSettings, parse
from tests.embedded.processes import Holder, kill, processes_naming

DUMMY_URLS = {"DATABASE_URL": "postgresql://elsewhere/exai", "REDIS_URL": "redis://elsewhere/0"}


@pytest.fixture
def base() -> Iterator[Path]:
    folder = _make_base()
    yield folder
    _end_engines(folder)
    shutil.rmtree(folder)


@pytest.fixture
def fresh_dir(base: Path) -> Path:
    """A data directory that does not exist yet."""
    return base / "data"


@pytest.fixture(scope="session")
def shared_dir() -> Iterator[Path]:
    """A data directory whose engines ran before: making a database takes longer than most tests."""
    folder = _make_base()
    start_engines(parse({"EXAI_DATA_DIR": str(folder / "data")})).close()
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(shared_dir: Path) -> Iterator[Path]:
    """The same, for a test that leaves it usable; its engines may be left running."""
    yield shared_dir
    _end_engines(shared_dir)


@pytest.fixture
def own_dir(base: Path, shared_dir: Path) -> Path:
    """A copy, for a test that spoils it."""
    subprocess.run(["/bin/cp", "-a", shared_dir, base], check=True)
    return base / shared_dir.name


@pytest.fixture
def fresh_settings(fresh_dir: Path) -> HubSettings:
    return parse({"EXAI_DATA_DIR": str(fresh_dir)})


@pytest.fixture
def settings(data_dir: Path) -> HubSettings:
    return parse({"EXAI_DATA_DIR": str(data_dir)})


@pytest.fixture
def valkey_only(fresh_dir: Path) -> HubSettings:
    """For what does not depend on the engine: without PostgreSQL a start takes no time."""
    return parse({"EXAI_DATA_DIR": str(fresh_dir), "DATABASE_URL": DUMMY_URLS["DATABASE_URL"]})


@pytest.fixture
def start() -> Iterator[Callable[[HubSettings], Engines]]:
    started: list[Engines] = []

    def start_one(settings: HubSettings) -> Engines:
        engines = start_engines(settings)
        started.append(engines)
        return engines

    yield start_one
    for engines in started:
        engines.close()


@pytest.fixture
def hold(data_dir: Path) -> Iterator[Callable[[], Holder]]:
    """Starts further processes that use the data directory."""
    holders: list[Holder] = []

    def hold_one() -> Holder:
        holders.append(Holder(data_dir))
        return holders[-1]

    yield hold_one
    for holder in holders:
        holder.kill()


def _make_base() -> Path:
    """A folder that every user may pass; pytest's own lies below one that only its owner may."""
    folder = Path(tempfile.mkdtemp(prefix="exai-test-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


def _end_engines(folder: Path) -> None:
    for process in processes_naming(folder):
        try:
            kill(process)
        except psutil.NoSuchProcess:
            continue
    for file in folder.rglob("engines.json"):
        if socket_dir := json.loads(file.read_text())["socket_dir"]:
            shutil.rmtree(socket_dir, ignore_errors=True)

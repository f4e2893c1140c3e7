"""Pytest plugin: the embedded PostgreSQL and Valkey, started before Django's settings are read, and nothing else of
the developer's environment in the tests. Workers of pytest-xdist share the engines, each with databases of its own."""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from exai.embedded.engines import Engines, start_engines
from exai.settings.hub import HubSettings, parse, variable_names

_WORKER = "PYTEST_XDIST_WORKER"
_running: list[tuple[Engines, Path]] = []


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, object, object]:
    # A wrapper, because pytest-django's own hook of this name reads Django's settings.
    if _WORKER in os.environ:
        number = os.environ[_WORKER].removeprefix("gw")
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("db=0", f"db={int(number) + 1}")
    else:
        _start()
    try:
        return (yield)
    except BaseException:
        # A conftest that cannot be imported: pytest ends without unconfiguring.
        pytest_unconfigure()
        raise


def pytest_unconfigure() -> None:
    while _running:
        engines, data_dir = _running.pop()
        engines.close()
        shutil.rmtree(data_dir, ignore_errors=True)


def _start() -> None:
    for field in HubSettings.model_fields.values():
        for name in variable_names(field):
            os.environ.pop(name, None)
    data_dir = Path(tempfile.mkdtemp(prefix="exai-tests-"))
    # When the tests run as root, the engines' own user must get to its folder in there.
    data_dir.chmod(0o711)
    os.environ["EXAI_ENV_FILE"] = os.devnull
    os.environ["EXAI_DATA_DIR"] = str(data_dir)
    engines = start_engines(parse(os.environ))
    _running.append((engines, data_dir))
    os.environ.update(engines.environment())

"""What self-check says of parts that do not work: which one, and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from conversations.files.blobs import Blobs
from conversations.files.staging import Staging
from exai.gateway.self_checks import SelfChecks
from exai.tools.hub import Check

_GIB = 1024**3
Components = dict[str, dict[str, Any]]


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def _checks(folder: Path, components: Components | None = None) -> dict[str, Check]:
    async def states() -> Components:
        return components or {}

    blobs = Blobs(FileSystemStorage(location=folder), Staging(folder / ".incoming"))
    return {check.name: check for check in await SelfChecks(components=states, blobs=blobs, folder=folder).run()}


async def test_all_that_works_is_ok_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    checks = await _checks(tmp_path / "not" / "there yet", {"database": {"status": "ok", "latency_ms": 0.4}})
    assert {name: check.status for name, check in checks.items() if name != "disk"} == {
        "database": "ok",
        "file_store": "ok",
        "extraction": "ok",
    }
    assert _files_in(tmp_path) == []


async def test_a_store_that_takes_no_files_fails(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    check = (await _checks(tmp_path / "files"))["file_store"]
    assert (check.status, "EXAI_S3" in check.what_to_do) == ("fail", True)


async def test_a_database_that_is_away_fails_and_redis_is_a_warning(tmp_path: Path) -> None:
    down = {"status": "down", "latency_ms": None, "message": "TimeoutError"}
    checks = await _checks(tmp_path, {"database": down, "redis": down})
    assert (checks["database"].status, checks["redis"].status) == ("fail", "warn")
    assert "DATABASE_URL" in checks["database"].what_to_do
    assert "TimeoutError" in checks["redis"].message


@pytest.mark.parametrize(("free_gib", "status"), [(50.0, "ok"), (2.0, "ok"), (1.9, "warn"), (0.2, "fail")])
async def test_a_disk_is_judged_by_the_room_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, status: str
) -> None:
    usage: Callable[[Path], Any] = lambda _: SimpleNamespace(free=int(free_gib * _GIB))  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", usage)
    check = (await _checks(tmp_path))["disk"]
    assert (check.status, bool(check.what_to_do)) == (status, status != "ok")

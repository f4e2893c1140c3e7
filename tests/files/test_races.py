"""Twenty processes and two hubs upload, link and clean up at once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import hub
from tests.api.caller import ApiCaller
from tests.conftest import MakeClient
from tests.files.contents import blobs_below, notes_of
from tests.hub import PROJECT_DIR, RunningHub, manage

_RACERS, _CLEANERS = 18, 2
_ROUNDS = 12
_PATIENCE_S = 90.0


def _start(what: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.files.racer", what],
        cwd=PROJECT_DIR,
        env=hub.hub_environment({**environment, "DJANGO_SETTINGS_MODULE": "exai.settings.project"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _result(process: "subprocess.Popen[str]", given: str | None = None) -> Any:
    output, errors = process.communicate(given, timeout=_PATIENCE_S)
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output)


@pytest.mark.timeout(180)
def test_one_row_and_one_blob_a_content_nothing_in_use_removed_and_nothing_orphaned_left(
    hub_environment: dict[str, str],
    make_client: MakeClient,
    database: psycopg.Connection,
    hub_database_url: str,
    tmp_path: Path,
) -> None:
    environment = {**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}
    clients = [make_client() for _ in range(2)]
    with RunningHub(environment) as one, RunningHub(environment) as two:
        hubs = [one.http_url, two.http_url]
        cleaners = [_start("clean", environment) for _ in range(_CLEANERS)]
        racers = []
        try:
            for seed in range(_RACERS):
                workspace, token = clients[seed % 2]
                racers.append(racer := _start("race", {}))
                given = {
                    "hubs": hubs,
                    "token": token,
                    "database": hub_database_url,
                    "workspace": workspace,
                    "seed": seed,
                    "rounds": _ROUNDS,
                }
                assert racer.stdin is not None
                racer.stdin.write(json.dumps(given))
                racer.stdin.close()
                racer.stdin = None
            raced = [_result(racer) for racer in racers]
            cleaned = [_result(cleaner, "") for cleaner in cleaners]
        finally:
            for process in (*racers, *cleaners):
                process.kill()
        # It was a race: contents met each other, and the cleaners had work while the others were at it.
        assert sum(racer["duplicates"] for racer in raced) > 0
        assert sum(cleaner["removed"] for cleaner in cleaned) > 0
        last = json.loads(manage(environment, "cleanup_files", "--grace-hours", "0", "--json"))
        assert last["blobs_failed"] == 0
        for index, (workspace, token) in enumerate(clients):
            _check(database, tmp_path / "files", workspace, ApiCaller(one.http_url, token), raced[index::2])
    assert not any((tmp_path / "files" / ".incoming").iterdir())


def _check(
    database: psycopg.Connection, folder: Path, workspace: str, caller: ApiCaller, raced: list[dict[str, Any]]
) -> None:
    linked = [tuple(link) for racer in raced for link in racer["linked"]]
    assert linked, "nothing was left linked"
    there = database.execute(
        "SELECT l.conversation_id, f.id::text, f.sha256 FROM conversation_files l JOIN files f ON f.id = l.file_id"
        " WHERE f.workspace = %s",
        (workspace,),
    ).fetchall()
    assert Counter(there) == Counter(linked)
    rows = database.execute(
        "SELECT id::text, sha256, storage_path FROM files WHERE workspace = %s", (workspace,)
    ).fetchall()
    assert {id_ for id_, _, _ in rows} == {id_ for _, id_, _ in linked}
    assert len({sha256 for _, sha256, _ in rows}) == len(rows)
    assert {path for path in blobs_below(folder) if path.startswith(f"{workspace}/")} == {path for _, _, path in rows}
    assert notes_of(database, workspace) == []
    for id_, sha256, _ in rows:
        assert caller.get(f"/api/files/{id_}/content").headers["etag"] == f'"{sha256}"'

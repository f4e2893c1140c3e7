"""manage.py cleanup_files and delete_workspace, as operators run them."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.api.caller import ApiCaller
from tests.conftest import MakeClient
from tests.hub import RunningHub, manage


@pytest.fixture
def environment(hub_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}


def test_cleanup_says_what_it_would_remove_and_then_removes_it(
    environment: dict[str, str], make_client: MakeClient, tmp_path: Path
) -> None:
    workspace, token = make_client()
    with RunningHub(environment) as hub:
        caller = ApiCaller(hub.http_url, token)
        file_id = caller.upload(b"x" * 1234, "left.txt").json["id"]
        dry = json.loads(manage(environment, "cleanup_files", "--dry-run", "--grace-hours", "0", "--json"))
        entry = {"id": file_id, "workspace": workspace, "name": "left.txt", "size": 1234}
        assert (dry["dry_run"], entry in dry["files"], "blobs_removed" in dry) == (True, True, False)
        said = manage(environment, "cleanup_files")
        assert "left.txt" not in said  # within EXAI_FILE_GRACE_HOURS
        assert caller.get(f"/api/files/{file_id}/").status == 200
        said = manage({**environment, "EXAI_FILE_GRACE_HOURS": "0"}, "cleanup_files")
        assert "left.txt" in said
        assert caller.get(f"/api/files/{file_id}/").status == 404
    assert not any(path.is_file() for path in (tmp_path / "files").rglob("*"))


@pytest.mark.parametrize("hours", ["-1", "x", "nan", "1e9"])
def test_hours_that_cannot_be_are_refused(environment: dict[str, str], hours: str) -> None:
    with pytest.raises(RuntimeError, match="is no number of hours"):
        manage(environment, "cleanup_files", f"--grace-hours={hours}")


def test_a_workspace_is_deleted_its_clients_are_disabled_and_its_calls_stay(
    environment: dict[str, str], make_client: MakeClient, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace, token = make_client()
    _, other_token = make_client()
    with RunningHub(environment) as hub:
        caller, other = ApiCaller(hub.http_url, token), ApiCaller(hub.http_url, other_token)
        manage(environment, "call", "chat", "prompt=hello", "model=exai-echo", "--url", hub.ws_url, "--token", token)
        caller.upload(b"12345")
        other.upload(b"12345")
        done = json.loads(manage(environment, "delete_workspace", workspace, "--yes", "--json"))
        assert done == {
            "workspace": workspace,
            "disabled": [workspace],
            "conversations": 1,
            "messages": 2,
            "files": 1,
            "bytes": 5,
            "vendor_copies": 0,
        }
        assert caller.get("/api/files/").error == (401, "UNAUTHORIZED")
        assert len(other.get("/api/files/").json["files"]) == 1
    assert [path.parts[0] for path in _blobs(tmp_path / "files")] != [workspace]
    assert database.execute("SELECT count(*) FROM tool_calls WHERE workspace = %s", (workspace,)).fetchone() == (1,)


def _blobs(folder: Path) -> list[Path]:
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]


def test_a_workspace_is_deleted_only_when_someone_confirms_it(
    environment: dict[str, str], make_client: MakeClient, database: psycopg.Connection
) -> None:
    workspace, _ = make_client()
    with pytest.raises(RuntimeError, match="add --yes"):
        manage(environment, "delete_workspace", workspace, "--json")
    with pytest.raises(RuntimeError):  # nobody is there to type its name
        manage(environment, "delete_workspace", workspace)
    with pytest.raises(RuntimeError, match="There is no workspace 'nobody-has-it'"):
        manage(environment, "delete_workspace", "nobody-has-it", "--yes")
    assert database.execute("SELECT enabled FROM clients WHERE workspace = %s", (workspace,)).fetchall() == [(True,)]

"""Files in an S3 server on loopback (moto's), by the hub's own settings."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from django.core.files.storage import storages
from django.test import override_settings
from moto.server import ThreadedMotoServer

from conversations.files.blobs import Blobs
from conversations.files.errors import BytesMissing, StorageAway
from conversations.files.staging import Staging
from conversations.files.store import FileStore
from exai.database import Database
from exai.settings.file_storage import file_storage
from exai.settings.hub import ConfigurationError, HubSettings, parse
from tests.api.caller import ApiCaller
from tests.conftest import MakeClient, hub_variables
from tests.files.contents import new_workspace, notes_of, pieces, rows_of
from tests.hub import PROJECT_DIR, RunningHub, manage
from tests.hub import hub_environment as variables_of

_KEYS = {"EXAI_S3_ACCESS_KEY": "test-key", "EXAI_S3_SECRET_KEY": "test-secret-of-s3"}


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a running server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="test-key",
            aws_secret_access_key="test-secret-of-s3",
        )
    finally:
        server.stop()


@pytest.fixture
def environment(s3: Any) -> dict[str, str]:
    """The settings of a hub with a bucket of the test's own."""
    bucket = f"files-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    return {
        "EXAI_S3_BUCKET": bucket,
        "EXAI_S3_ENDPOINT": s3.meta.endpoint_url,
        "EXAI_S3_REGION": "us-east-1",
        "EXAI_S3_PREFIX": "exai/",
        **_KEYS,
    }


@pytest.fixture
def bucket_blobs(environment: dict[str, str], tmp_path: Path) -> Iterator[Blobs]:
    with override_settings(STORAGES={"files": file_storage(parse(environment))}):
        yield Blobs(storages["files"], Staging(tmp_path / "incoming"))


@pytest.fixture
def bucket_store(pool: Database, bucket_blobs: Blobs) -> FileStore:
    return FileStore(pool, bucket_blobs, parse({}))


def keys(s3: Any, environment: dict[str, str]) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=environment["EXAI_S3_BUCKET"]).get("Contents", ())]


async def test_a_file_is_kept_in_the_bucket_and_copied_only_while_it_is_read(
    bucket_store: FileStore, s3: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    content = b"0123456789" * 2_000_000  # of several parts
    record, _ = await bucket_store.store(pieces(content), workspace=new_workspace(), name="a.txt")
    assert keys(s3, environment) == [f"exai/{record.storage_path}"]
    assert list((tmp_path / "incoming").iterdir()) == []
    async with bucket_store.on_disk(record) as path:
        assert path.read_bytes() == content
        assert list((tmp_path / "incoming").iterdir()) == [path]
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_an_empty_file_is_kept_too(bucket_store: FileStore) -> None:
    record, _ = await bucket_store.store(pieces(), workspace=new_workspace(), name="empty")
    async with bucket_store.on_disk(record) as path:
        assert path.read_bytes() == b""


async def test_bytes_that_are_missing_in_the_bucket_are_told(bucket_store: FileStore, bucket_blobs: Blobs) -> None:
    record, _ = await bucket_store.store(pieces(b"x"), workspace=new_workspace(), name="a")
    bucket_blobs.delete(record.storage_path)
    bucket_blobs.delete(record.storage_path)  # that it is gone is no error
    with pytest.raises(BytesMissing):
        async with bucket_store.on_disk(record):
            pytest.fail("opened")


async def test_a_bucket_that_is_away_leaves_a_note_and_no_row(
    pool: Database, database: psycopg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    away = file_storage(parse({**environment, "EXAI_S3_BUCKET": "there-is-none"}))
    workspace = new_workspace()
    with override_settings(STORAGES={"files": away}):
        blobs = Blobs(storages["files"], Staging(tmp_path / "incoming"))
        store = FileStore(pool, blobs, parse({}))
        with pytest.raises(StorageAway) as told:
            await store.store(pieces(b"x"), workspace=workspace, name="a")
    assert "secret" not in str(told.value)
    assert (rows_of(database, workspace), len(notes_of(database, workspace))) == ([], 1)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_hub_with_a_bucket_stores_serves_ranges_and_cleans_up(
    hub_environment: dict[str, str],
    environment: dict[str, str],
    make_client: MakeClient,
    s3: Any,
    tmp_path: Path,
) -> None:
    _, token = make_client()
    content = bytes(range(256)) * 4000
    settings = {**hub_environment, **environment, "EXAI_DATA_DIR": str(tmp_path)}
    with RunningHub(settings) as hub:
        caller = ApiCaller(hub.http_url, token)
        uploaded = caller.upload(content, "a.bin").json
        path = f"/api/files/{uploaded['id']}/content"
        assert caller.get(path).body == content
        part = caller.get(path, Range="bytes=1000-1999")
        assert (part.status, part.body) == (206, content[1000:2000])
        assert caller.upload(content).json["duplicate"]
        assert len(keys(s3, environment)) == 1
        s3.delete_object(Bucket=environment["EXAI_S3_BUCKET"], Key=keys(s3, environment)[0])
        assert caller.get(path).error == (404, "NOT_FOUND")
        caller.delete(f"/api/files/{uploaded['id']}/")
        caller.upload(b"an orphan")
        manage(settings, "cleanup_files", "--grace-hours", "0")
        assert keys(s3, environment) == []
        assert _KEYS["EXAI_S3_SECRET_KEY"] not in hub.log_text()
    assert not any(file.is_file() for file in (tmp_path / "files").rglob("*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"EXAI_S3_ENDPOINT": "http://127.0.0.1:9000"}, "EXAI_S3_BUCKET is missing"),
        ({"EXAI_S3_BUCKET": "b", "EXAI_S3_ACCESS_KEY": "k"}, "belong together"),
    ],
)
def test_settings_of_a_bucket_that_are_not_whole_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse(given)


def test_without_a_bucket_files_lie_in_the_data_directory() -> None:
    settings: HubSettings = parse({"EXAI_DATA_DIR": "/srv/exai"})
    assert file_storage(settings)["OPTIONS"]["location"] == Path("/srv/exai/files")


def test_without_a_bucket_its_library_is_not_loaded() -> None:
    ask = (
        "import sys, exai.asgi; from conversations.files.blobs import hub_blobs; hub_blobs();"
        "print('boto3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=PROJECT_DIR,
        env=variables_of(hub_variables()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"

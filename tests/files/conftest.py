"""File stores of the tests' own, on the hub's database."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from conversations.files.blobs import Blobs
from conversations.files.staging import Staging
from conversations.files.store import FileStore
from exai.database import Database
from exai.settings.hub import HubSettings, parse

MakeStore = Callable[..., FileStore]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    folder = tmp_path / "files"
    storage = FileSystemStorage(location=folder, file_permissions_mode=0o600, directory_permissions_mode=0o700)
    return Blobs(storage, Staging(folder / ".incoming"))


@pytest.fixture
async def pool(hub_database_url: str) -> AsyncIterator[Database]:
    database = Database(hub_database_url, pool_size=4)
    yield database
    await database.close()


@pytest.fixture
def make_store(pool: Database, blobs: Blobs) -> MakeStore:
    """A store with these settings, on the test's own folder."""

    def make(**environment: str) -> FileStore:
        settings: HubSettings = parse({"EXAI_DATA_DIR": os.environ["EXAI_DATA_DIR"], **environment})
        return FileStore(pool, blobs, settings)

    return make


@pytest.fixture
def store(make_store: MakeStore) -> FileStore:
    return make_store()

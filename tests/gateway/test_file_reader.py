"""Reading a file once for all who want it: real rows, and a reader that the test holds up."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from conversations.files.errors import BytesMissing
from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from exai.database import Database
from exai.extraction.extracted import Extracted
from exai.gateway import file_reader
from exai.gateway.file_reader import FileReader

WORKSPACE = "readers"


@dataclass
class HeldUp:
    """Takes the place of what extracts: reads when the test lets it."""

    result: Extracted = field(default_factory=lambda: Extracted(text="a\nb"))
    names: list[str] = field(default_factory=list)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: int = 0

    async def extract(self, _path: Path, *, name: str, **_others: Any) -> Extracted:
        self.names.append(name)
        self.has_begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return self.result


class Disk:
    """A store whose bytes are of no matter."""

    missing = False

    @asynccontextmanager
    async def on_disk(self, record: FileRecord) -> AsyncIterator[Path]:
        if self.missing:
            raise BytesMissing(record.name)
        yield Path("/nowhere")


@pytest.fixture
async def hot_path(hub_database_url: str) -> AsyncIterator[Database]:
    database = Database(hub_database_url, pool_size=4)
    yield database
    await database.close()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def reader(hot_path: Database, disk: Disk) -> FileReader:
    return FileReader(cast(FileStore, disk), hot_path)


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> HeldUp:
    held_up = HeldUp()
    monkeypatch.setattr(file_reader, "extract", held_up.extract)
    return held_up


@pytest.fixture
def file(database: psycopg.Connection) -> uuid.UUID:
    return add_file(database)


def add_file(database: psycopg.Connection, mime_type: str = "text/plain") -> uuid.UUID:
    id_ = uuid.uuid4()
    database.execute(
        "INSERT INTO files (id, workspace, storage_path, original_name, mime_type, size_bytes, file_type, sha256,"
        " provider_file_ids, metadata, created_at) VALUES (%s, %s, %s, %s, %s, 3, 'user_upload', %s, '{}', '{}',"
        " now())",
        (id_, WORKSPACE, str(id_), f"{id_}.txt", mime_type, hashlib.sha256(id_.bytes).hexdigest()),
    )
    return id_


async def look(reader: FileReader, *ids: uuid.UUID, workspace: str = WORKSPACE) -> tuple[Any, list[str]]:
    """What is known of the files, and the names that were told of."""
    told: list[str] = []

    async def tell(record: FileRecord) -> None:
        told.append(record.name)

    return await reader.look(ids, workspace=workspace, tell=tell), told


async def until_waiting(reader: FileReader, file: uuid.UUID, callers: int) -> None:
    for _ in range(5000):
        if reader._under_way[file].waiting == callers:
            return
        await asyncio.sleep(0.001)
    pytest.fail("the callers never came")


async def test_a_file_is_read_once_and_then_known(reader: FileReader, held_up: HeldUp, file: uuid.UUID) -> None:
    held_up.may_end.set()
    first, told = await look(reader, file)
    assert told == [f"{file}.txt"]
    assert await look(reader, file) == (first, [])
    assert len(held_up.names) == 1
    assert await reader.contents([file], workspace=WORKSPACE) == {file: "   1│ a\n   2│ b"}
    assert first[file].tokens == 1 + len("   1│ a\n   2│ b") // 4


async def test_a_document_is_sent_without_numbers(
    reader: FileReader, held_up: HeldUp, database: psycopg.Connection
) -> None:
    held_up.may_end.set()
    file = add_file(database, "application/pdf")
    await look(reader, file)
    assert await reader.contents([file], workspace=WORKSPACE) == {file: "a\nb"}


async def test_an_image_comes_back_as_it_was_made(reader: FileReader, held_up: HeldUp, file: uuid.UUID) -> None:
    url = f"data:image/png;base64,{'QUJD' * 5000}"
    held_up.result = Extracted(image=url)
    held_up.may_end.set()
    [reading] = (await look(reader, file))[0].values()
    assert (reading.image_type, reading.tokens) == ("image/png", 0)
    assert await reader.contents([file], workspace=WORKSPACE) == {file: url}


async def test_callers_at_once_wait_for_one_reading(reader: FileReader, held_up: HeldUp, file: uuid.UUID) -> None:
    looking = [asyncio.create_task(look(reader, file)) for _ in range(3)]
    await held_up.has_begun.wait()
    await until_waiting(reader, file, 3)
    held_up.may_end.set()
    assert len({str(await one) for one in looking}) == 1
    assert len(held_up.names) == 1
    assert reader._under_way == {}


async def test_a_caller_who_goes_takes_the_reading_from_nobody(
    reader: FileReader, held_up: HeldUp, file: uuid.UUID
) -> None:
    going, staying = (asyncio.create_task(look(reader, file)) for _ in range(2))
    await held_up.has_begun.wait()
    await until_waiting(reader, file, 2)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    held_up.may_end.set()
    assert (await staying)[0][file].tokens
    assert held_up.stopped == 0


async def test_when_the_last_caller_goes_the_reading_stops(
    reader: FileReader, held_up: HeldUp, file: uuid.UUID
) -> None:
    going = asyncio.create_task(look(reader, file))
    await held_up.has_begun.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    # Whoever comes now begins anew, and is not taken along.
    held_up.may_end.set()
    assert (await look(reader, file))[0][file].tokens
    assert (held_up.stopped, len(held_up.names)) == (1, 2)


async def test_bytes_that_are_missing_are_looked_for_again_the_next_time(
    reader: FileReader, held_up: HeldUp, disk: Disk, file: uuid.UUID
) -> None:
    held_up.may_end.set()
    disk.missing = True
    assert "missing" in (await look(reader, file))[0][file].problem
    disk.missing = False
    assert (await look(reader, file))[0][file].problem == ""


async def test_a_file_that_is_deleted_while_it_is_read_leaves_no_reading(
    reader: FileReader, held_up: HeldUp, database: psycopg.Connection, file: uuid.UUID
) -> None:
    looking = asyncio.create_task(look(reader, file))
    await held_up.has_begun.wait()
    database.execute("DELETE FROM files WHERE id = %s", (file,))
    held_up.may_end.set()
    await looking
    assert database.execute("SELECT count(*) FROM file_readings WHERE file_id = %s", (file,)).fetchone() == (0,)
    assert await reader.contents([file], workspace=WORKSPACE) == {}


async def test_another_workspace_sees_neither_facts_nor_contents(
    reader: FileReader, held_up: HeldUp, file: uuid.UUID
) -> None:
    held_up.may_end.set()
    await look(reader, file)
    assert await look(reader, file, workspace="another") == ({}, [])
    assert await reader.contents([file], workspace="another") == {}


async def test_a_text_whose_reading_broke_off_says_where_and_why(
    reader: FileReader, held_up: HeldUp, file: uuid.UUID
) -> None:
    held_up.result = Extracted(text="a", parts="pages 1-3 of 9", cut=True, problem="Page 4 is broken." + "x" * 300)
    held_up.may_end.set()
    [reading] = (await look(reader, file))[0].values()
    assert reading.parts.startswith("pages 1-3 of 9: Page 4 is broken.")
    # As it is kept, so it is told again.
    assert (await look(reader, file))[0][file] == reading

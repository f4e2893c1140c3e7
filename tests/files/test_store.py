"""Storing, finding and reading files, on real PostgreSQL and a real folder."""

import asyncio
import hashlib
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from conversations.files import statements
from conversations.files.blobs import Blobs
from conversations.files.errors import BytesMissing, FileTooLarge, QuotaReached, StorageAway, UploadLost
from conversations.files.staging import Staged
from conversations.files.store import FileStore
from exai.database import Database
from tests.files.conftest import MakeStore
from tests.files.contents import blobs_below, new_workspace, notes_of, pieces, rows_of


async def test_a_file_is_stored_with_its_hash_size_and_type(store: FileStore, database: psycopg.Connection) -> None:
    workspace = new_workspace()
    record, duplicate = await store.store(pieces(b"print(", b"1)\n"), workspace=workspace, name="C:\\work\\one.py")
    assert not duplicate
    assert (record.name, record.size_bytes, record.workspace) == ("one.py", 9, workspace)
    assert record.sha256 == hashlib.sha256(b"print(1)\n").hexdigest()
    assert record.mime_type.startswith("text/")
    async with store.on_disk(record) as path:
        assert path.read_bytes() == b"print(1)\n"
    assert rows_of(database, workspace) == [("one.py", record.storage_path, 9)]
    assert notes_of(database, workspace) == []


async def test_only_the_hub_may_read_what_it_stores(store: FileStore, tmp_path: Path) -> None:
    await store.store(pieces(b"secret"), workspace=new_workspace(), name="a")
    for path in (tmp_path / "files", *(tmp_path / "files").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.is_file() else 0o700), path


async def test_an_empty_file_is_a_file(store: FileStore) -> None:
    record, _ = await store.store(pieces(), workspace=new_workspace(), name="empty.txt")
    assert record.size_bytes == 0
    async with store.on_disk(record) as path:
        assert path.read_bytes() == b""


async def test_large_contents_keep_every_byte_in_its_order(store: FileStore) -> None:
    given = [bytes([number % 251]) * (37_000 + number) for number in range(120)]
    record, _ = await store.store(pieces(*given), workspace=new_workspace(), name="large.bin")
    async with store.on_disk(record) as path:
        assert path.read_bytes() == b"".join(given)
    assert record.sha256 == hashlib.sha256(b"".join(given)).hexdigest()


async def test_one_content_is_one_row_and_one_blob_a_workspace(
    store: FileStore, database: psycopg.Connection, tmp_path: Path
) -> None:
    ours, theirs = new_workspace(), new_workspace()
    first, _ = await store.store(pieces(b"same"), workspace=ours, name="a.txt")
    again, duplicate = await store.store(pieces(b"same"), workspace=ours, name="b.txt")
    other, other_duplicate = await store.store(pieces(b"same"), workspace=theirs, name="a.txt")
    assert (again, duplicate, other_duplicate) == (first, True, False)
    assert other.id != first.id
    assert blobs_below(tmp_path / "files") == {first.storage_path, other.storage_path}
    [(names,)] = database.execute("SELECT metadata -> 'names' FROM files WHERE id = %s", (first.id,))
    assert names == ["b.txt"]


async def test_other_names_of_a_content_are_remembered_once_and_not_without_end(
    store: FileStore, database: psycopg.Connection
) -> None:
    workspace = new_workspace()
    for name in ["first", *(f"name {number}" for number in range(30)), "name 3", "first"]:
        record, _ = await store.store(pieces(b"same"), workspace=workspace, name=name)
    [(names,)] = database.execute("SELECT metadata -> 'names' FROM files WHERE id = %s", (record.id,))
    assert names == [f"name {number}" for number in range(20)]


async def test_the_same_content_at_once_is_stored_once(
    store: FileStore, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace = new_workspace()
    done = await asyncio.gather(
        *(store.store(pieces(b"x" * 5000), workspace=workspace, name=f"{number}") for number in range(8))
    )
    assert len({record.id for record, _ in done}) == 1
    assert sorted(duplicate for _, duplicate in done) == [False] + [True] * 7
    assert blobs_below(tmp_path / "files") == {done[0][0].storage_path}
    assert notes_of(database, workspace) == []


async def test_a_repeated_statement_answers_the_same(pool: Database, store: FileStore) -> None:
    workspace = new_workspace()
    record, _ = await store.store(pieces(b"once"), workspace=workspace, name="a")
    again = await statements.store_file(pool, record, most_files=1, most_bytes=1, within_s=5)
    assert again == ("stored", record)


async def test_what_is_larger_than_allowed_is_refused_while_it_comes(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(EXAI_MAX_FILE_BYTES="10")
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"123456"

    with pytest.raises(FileTooLarge):
        await store.store(endless(), workspace=new_workspace(), name="a")
    with pytest.raises(FileTooLarge):
        await store.store(endless(), workspace=new_workspace(), name="a", size_hint=11)
    assert taken == 2
    assert blobs_below(tmp_path / "files") == set()


async def test_a_source_that_fails_leaves_nothing(
    store: FileStore, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace = new_workspace()

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.store(broken(), workspace=workspace, name="a")
    assert (rows_of(database, workspace), blobs_below(tmp_path / "files")) == ([], set())


async def test_a_cancelled_upload_leaves_nothing(
    store: FileStore, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace = new_workspace()
    received = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        received.set()
        await asyncio.Event().wait()

    storing = asyncio.create_task(store.store(stalled(), workspace=workspace, name="a"))
    await received.wait()
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert (rows_of(database, workspace), blobs_below(tmp_path / "files")) == ([], set())


async def test_a_cancelled_upload_closes_its_file_only_when_no_thread_writes_to_it_any_more(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, may_end = threading.Event(), threading.Event()
    states: list[str] = []
    write, discard = Staged.write, Staged.discard

    def slow_write(staged: Staged, data: bytes) -> None:
        writing.set()
        assert may_end.wait(10)
        write(staged, data)
        states.append("written")

    def told_discard(staged: Staged) -> None:
        states.append("closed")
        discard(staged)

    monkeypatch.setattr(Staged, "write", slow_write)
    monkeypatch.setattr(Staged, "discard", told_discard)
    storing = asyncio.create_task(store.store(pieces(b"x" * 2_000_000), workspace=new_workspace(), name="a"))
    assert await asyncio.to_thread(writing.wait, 10)
    for _ in range(2):
        storing.cancel()
        await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert states == ["written", "closed"]


async def test_an_upload_whose_note_is_gone_is_refused_and_may_be_sent_again(
    store: FileStore, pool: Database, database: psycopg.Connection, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = new_workspace()
    put = blobs.put

    def put_slowly(*given: object) -> None:
        put(*given)  # type: ignore[arg-type]
        with psycopg.connect(database.info.dsn, password=database.info.password, autocommit=True) as cleaner:
            cleaner.execute("DELETE FROM file_removals WHERE storage_path LIKE %s", (workspace + "/%",))

    monkeypatch.setattr(blobs, "put", put_slowly)
    with pytest.raises(UploadLost) as lost:
        await store.store(pieces(b"slow"), workspace=workspace, name="a")
    assert lost.value.details["retryable"]
    assert (rows_of(database, workspace), notes_of(database, workspace)) == ([], [])
    monkeypatch.undo()
    assert not (await store.store(pieces(b"slow"), workspace=workspace, name="a"))[1]


async def test_files_are_found_in_their_workspace_only_in_one_statement_and_counted(
    store: FileStore, pool: Database, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = new_workspace(), new_workspace()
    mine = [(await store.store(pieces(bytes([n])), workspace=ours, name=f"{n}"))[0] for n in range(8)]
    foreign, _ = await store.store(pieces(b"x"), workspace=theirs, name="x")
    sent: list[str] = []
    fetch = pool.fetch

    async def counted(statement: str, *given: object, **named: object) -> list[tuple[object, ...]]:
        sent.append(statement)
        return await fetch(statement, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "fetch", counted)
    found = await store.find([*(record.id for record in mine), foreign.id], workspace=ours)
    assert found == {record.id: record for record in mine}
    assert len(sent) == 1
    counts = database.execute(
        "SELECT workspace, access_count, last_accessed IS NOT NULL FROM files WHERE workspace IN (%s, %s)",
        (ours, theirs),
    ).fetchall()
    assert sorted(set(counts)) == sorted([(ours, 1, True), (theirs, 0, False)])


async def test_bytes_that_are_missing_are_told(store: FileStore, tmp_path: Path) -> None:
    record, _ = await store.store(pieces(b"gone"), workspace=new_workspace(), name="a.txt")
    (tmp_path / "files" / record.storage_path).unlink()
    with pytest.raises(BytesMissing, match=r"a\.txt"):
        async with store.on_disk(record):
            pytest.fail("opened")


async def test_a_path_that_leads_out_of_the_storage_holds_nothing(
    store: FileStore, blobs: Blobs, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("not of the hub")
    record, _ = await store.store(pieces(b"x"), workspace=new_workspace(), name="a.txt")
    for path in ("../secret.txt", f"{tmp_path}/secret.txt"):
        with pytest.raises(BytesMissing, match=r"a\.txt"):
            async with store.on_disk(msgspec.structs.replace(record, storage_path=path)):
                pytest.fail("opened")
        with pytest.raises(FileNotFoundError):
            blobs.open(path, first=0, last=1)


async def test_bytes_that_the_hub_may_not_read_are_told(store: FileStore, blobs: Blobs, tmp_path: Path) -> None:
    record, _ = await store.store(pieces(b"x"), workspace=new_workspace(), name="a.txt")
    path = tmp_path / "files" / record.storage_path
    path.unlink()
    path.mkdir()  # no file can be read there, of root neither
    with pytest.raises(StorageAway):
        blobs.open(record.storage_path, first=0, last=1)


async def test_a_full_disk_is_told_and_leaves_nothing(
    store: FileStore, blobs: Blobs, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace = new_workspace()
    (tmp_path / "files").mkdir(exist_ok=True)
    (tmp_path / "files" / ".incoming").write_text("no folder")
    with pytest.raises(StorageAway):
        await store.store(pieces(b"x"), workspace=workspace, name="a")
    assert rows_of(database, workspace) == []


@pytest.mark.parametrize(
    ("quota", "reason", "fit"),
    [
        ({"EXAI_WORKSPACE_MAX_FILES": "5"}, "files_of_workspace", 5),
        ({"EXAI_WORKSPACE_MAX_MB": "1"}, "bytes_of_workspace", 3),
    ],
)
async def test_quotas_hold_though_all_come_at_once(
    make_store: MakeStore,
    database: psycopg.Connection,
    blobs: Blobs,
    tmp_path: Path,
    quota: dict[str, str],
    reason: str,
    fit: int,
) -> None:
    store = make_store(**quota)
    workspace = new_workspace()
    done = await asyncio.gather(
        *(
            store.store(pieces(bytes([number]) * 300_000), workspace=workspace, name=f"{number}")
            for number in range(12)
        ),
        return_exceptions=True,
    )
    stored = [result for result in done if not isinstance(result, BaseException)]
    refused = [result for result in done if isinstance(result, QuotaReached)]
    assert (len(stored), len(refused)) == (fit, 12 - fit)
    assert {error.details["reason"] for error in refused} == {reason}
    assert blobs_below(tmp_path / "files") == {record.storage_path for record, _ in stored}
    assert notes_of(database, workspace) == []
    # What is there already takes no room.
    async with store.on_disk(stored[0][0]) as path:
        stored_content = path.read_bytes()
    known, duplicate = await store.store(pieces(stored_content), workspace=workspace, name="again")
    assert (known, duplicate) == (stored[0][0], True)
    with pytest.raises(QuotaReached):
        await store.store(pieces(b"unread"), workspace=workspace, name="a", size_hint=300_001)


async def test_content_whose_bytes_were_missing_is_there_again(
    make_store: MakeStore, database: psycopg.Connection
) -> None:
    # Its row has its place in the workspace already: a full one has room for the bytes.
    store = make_store(EXAI_WORKSPACE_MAX_FILES="1", EXAI_WORKSPACE_MAX_MB="1")
    workspace, content = new_workspace(), b"lost" * 150_000
    old, _ = await store.store(pieces(content), workspace=workspace, name="a.txt")
    database.execute("UPDATE files SET metadata = '{\"bytes_missing\": true}' WHERE id = %s", (old.id,))
    new, duplicate = await store.store(pieces(content), workspace=workspace, name="a.txt")
    assert (new.id, duplicate, new.storage_path == old.storage_path) == (old.id, False, False)
    assert database.execute("SELECT metadata FROM files WHERE id = %s", (old.id,)).fetchone() == ({},)
    async with store.on_disk(new) as path:
        assert path.read_bytes() == content


async def test_content_whose_bytes_are_gone_unnoticed_is_there_again(
    store: FileStore, blobs: Blobs, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace = new_workspace()
    old, _ = await store.store(pieces(b"lost"), workspace=workspace, name="a.txt")
    (tmp_path / "files" / old.storage_path).unlink()
    stored = await asyncio.gather(*(store.store(pieces(b"lost"), workspace=workspace, name="a.txt") for _ in range(5)))
    assert {record.id for record, _ in stored} == {old.id}
    assert [duplicate for _, duplicate in stored].count(False) == 1
    new = stored[0][0]
    async with store.on_disk(new) as path:
        assert path.read_bytes() == b"lost"
    assert blobs_below(tmp_path / "files") == {new.storage_path}
    assert notes_of(database, workspace) == [old.storage_path]
    assert database.execute("SELECT metadata FROM files WHERE id = %s", (old.id,)).fetchone() == ({},)

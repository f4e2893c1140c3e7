"""What is removed, and what is not, while others link and store: step by step, on connections of their own."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from tests.files.contents import new_workspace, notes_of, pieces, rows_of

_LINK = (
    "WITH used AS (SELECT id FROM files WHERE id = %s FOR KEY SHARE)"
    " INSERT INTO conversation_files (conversation_id, file_id) SELECT %s, id FROM used RETURNING file_id"
)
_CLEANUP = "SELECT id FROM cleanup_orphaned_files('0') WHERE workspace = %s"


@contextmanager
def connected(database: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Another connection, which commits when it is told to."""
    with psycopg.connect(database.info.dsn, password=database.info.password) as connection:
        yield connection
        connection.rollback()


def conversation(database: psycopg.Connection, workspace: str) -> int:
    [(id_,)] = database.execute(
        "WITH c AS (INSERT INTO clients (name, workspace, token_hash, token_start, scopes, enabled, created_at)"
        " VALUES (%s, %s, %s, '', '{}', true, now()) RETURNING id)"
        " INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata, created_at,"
        " updated_at) SELECT %s, c.id, %s, '', '', '{}', now(), now() FROM c RETURNING id",
        (name := uuid.uuid4().hex, workspace, name, uuid.uuid4(), workspace),
    ).fetchall()
    return int(id_)


async def stored(store: FileStore, workspace: str, content: bytes = b"content") -> FileRecord:
    return (await store.store(pieces(content), workspace=workspace, name="a.txt"))[0]


async def test_what_no_conversation_uses_is_removed_and_its_bytes_are_noted(
    store: FileStore, database: psycopg.Connection
) -> None:
    workspace = new_workspace()
    orphan, used = await stored(store, workspace), await stored(store, workspace, b"used")
    database.execute(_LINK, (used.id, conversation(database, workspace)))
    database.execute('UPDATE files SET provider_file_ids = \'{"kimi": "f-1"}\' WHERE id = %s', (orphan.id,))
    dry = database.execute(
        "SELECT * FROM cleanup_orphaned_files('0', true) WHERE workspace = %s", (workspace,)
    ).fetchall()
    assert dry == [(orphan.id, workspace, "a.txt", 7, orphan.storage_path)]
    assert len(rows_of(database, workspace)) == 2
    assert database.execute(_CLEANUP, (workspace,)).fetchall() == [(orphan.id,)]
    assert [path for _, path, _ in rows_of(database, workspace)] == [used.storage_path]
    assert database.execute(
        "SELECT provider_file_ids, due_at <= now() FROM file_removals WHERE storage_path = %s", (orphan.storage_path,)
    ).fetchall() == [({"kimi": "f-1"}, True)]
    assert database.execute(_CLEANUP, (workspace,)).fetchall() == []


async def test_the_grace_period_begins_anew_with_each_use_and_each_upload(
    store: FileStore, database: psycopg.Connection
) -> None:
    workspace = new_workspace()
    contents = (b"idle", b"found", b"again")
    idle, found, again = [await stored(store, workspace, content) for content in contents]
    database.execute("UPDATE files SET created_at = now() - interval '2 days' WHERE workspace = %s", (workspace,))
    await store.find([found.id], workspace=workspace)
    await stored(store, workspace, b"again")
    young = await stored(store, workspace, b"young")
    database.execute("SELECT cleanup_orphaned_files('1 day')")
    left = {path for _, path, _ in rows_of(database, workspace)}
    assert left == {found.storage_path, again.storage_path, young.storage_path}
    assert idle.storage_path in notes_of(database, workspace)


async def test_a_limit_bounds_what_is_removed_at_once(store: FileStore, database: psycopg.Connection) -> None:
    workspace = new_workspace()
    for number in range(5):
        await stored(store, workspace, bytes([number]))
    assert len(database.execute("SELECT cleanup_orphaned_files('0', false, 2)").fetchall()) == 2


@pytest.mark.parametrize("grace", [None, "-1 second"])
def test_a_grace_period_that_cannot_be_is_refused(database: psycopg.Connection, grace: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        database.execute("SELECT cleanup_orphaned_files(%s::interval)", (grace,))


def test_it_is_refused_where_it_could_not_see_what_others_do(database: psycopg.Connection) -> None:
    with connected(database) as snapshot:
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="read committed"):
            snapshot.execute("SELECT cleanup_orphaned_files('0')")
        snapshot.rollback()
        snapshot.execute("SELECT cleanup_orphaned_files('0', true)")


async def test_a_file_that_is_just_being_linked_stays(store: FileStore, database: psycopg.Connection) -> None:
    workspace = new_workspace()
    record, used_by = await stored(store, workspace), conversation(database, workspace)
    with connected(database) as linker:
        assert linker.execute(_LINK, (record.id, used_by)).fetchall() == [(record.id,)]
        assert database.execute(_CLEANUP, (workspace,)).fetchall() == []  # and does not wait
        linker.commit()
    assert database.execute(_CLEANUP, (workspace,)).fetchall() == []
    assert len(rows_of(database, workspace)) == 1


async def test_a_link_made_after_the_cleaner_began_is_seen(store: FileStore, database: psycopg.Connection) -> None:
    workspace = new_workspace()
    record, used_by = await stored(store, workspace), conversation(database, workspace)
    with connected(database) as cleaner:
        cleaner.execute("SELECT count(*) FROM conversation_files")
        database.execute(_LINK, (record.id, used_by))
        assert cleaner.execute(_CLEANUP, (workspace,)).fetchall() == []
        cleaner.commit()
    assert database.execute("SELECT count(*) FROM conversation_files WHERE file_id = %s", (record.id,)).fetchone() == (
        1,
    )


# In the cleaner's session alone: whoever looks at the links waits, in the midst of a statement, for the test's lock.
_PAUSE = """
CREATE FUNCTION pg_temp.pause() RETURNS boolean LANGUAGE sql VOLATILE AS
    'SELECT pg_advisory_xact_lock_shared(7) IS NULL';
CREATE TEMP VIEW conversation_files AS
    SELECT conversation_id, file_id FROM public.conversation_files
    UNION ALL SELECT NULL::bigint, NULL::uuid WHERE pg_temp.pause();
"""


async def test_a_link_made_while_the_cleaner_looks_is_seen_at_its_second_look(
    store: FileStore, database: psycopg.Connection
) -> None:
    workspace = new_workspace()
    record, used_by = await stored(store, workspace), conversation(database, workspace)
    with connected(database) as cleaner:
        cleaner.execute(_PAUSE)
        database.execute("SELECT pg_advisory_lock(7)")
        cleaning = asyncio.ensure_future(asyncio.to_thread(cleaner.execute, _CLEANUP, (workspace,)))
        try:
            await until_waiting(database, cleaner)
            assert database.execute(_LINK, (record.id, used_by)).fetchall() == [(record.id,)]
        finally:
            database.execute("SELECT pg_advisory_unlock(7)")
        assert (await cleaning).fetchall() == []
        cleaner.commit()
    assert len(rows_of(database, workspace)) == 1


@pytest.mark.parametrize("committed", [True, False])
async def test_a_linker_waits_for_the_cleaner_and_then_finds_what_is_left(
    store: FileStore, database: psycopg.Connection, committed: bool
) -> None:
    workspace = new_workspace()
    record, used_by = await stored(store, workspace), conversation(database, workspace)
    with connected(database) as cleaner, connected(database) as linker:
        assert cleaner.execute(_CLEANUP, (workspace,)).fetchall() == [(record.id,)]
        linking = asyncio.ensure_future(asyncio.to_thread(linker.execute, _LINK, (record.id, used_by)))
        await until_waiting(database, linker)
        if committed:
            cleaner.commit()
        else:
            cleaner.rollback()
        linked = (await linking).fetchall()
        linker.commit()
    assert linked == ([] if committed else [(record.id,)])
    count = database.execute("SELECT count(*) FROM conversation_files WHERE file_id = %s", (record.id,)).fetchone()
    assert count == (len(linked),)


async def test_content_whose_row_is_just_being_removed_is_stored_anew(
    store: FileStore, database: psycopg.Connection
) -> None:
    workspace = new_workspace()
    old = await stored(store, workspace)
    with connected(database) as cleaner:
        cleaner.execute(_CLEANUP, (workspace,))
        storing = asyncio.create_task(store.store(pieces(b"content"), workspace=workspace, name="b.txt"))
        await until_waiting(database)
        cleaner.commit()
        new, duplicate = await storing
    assert (duplicate, new.id == old.id, new.storage_path == old.storage_path) == (False, False, False)
    assert notes_of(database, workspace) == [old.storage_path]
    async with store.on_disk(new) as path:
        assert path.read_bytes() == b"content"


async def until_waiting(database: psycopg.Connection, waiter: psycopg.Connection | None = None) -> None:
    """Until this connection, or any of this database, waits for a lock."""
    async with asyncio.timeout(10):
        while not database.execute(  # noqa: ASYNC110  PostgreSQL tells nobody
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            " AND (%s::int IS NULL OR pid = %s)",
            (pid := waiter.info.backend_pid if waiter else None, pid),
        ).fetchall():
            await asyncio.sleep(0.005)

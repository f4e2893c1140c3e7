"""The few SQL statements of uploads and of calls with files. All are safe to repeat."""

from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

from conversations.files.records import FileRecord
from exai.database import Database

_COLUMNS: LiteralString = "id, workspace, original_name, mime_type, size_bytes, sha256, storage_path, created_at"

_USED: LiteralString = """
SELECT count(*), coalesce(sum(size_bytes), 0)::bigint, coalesce(bool_or(size_bytes BETWEEN %s AND %s), false)
FROM files WHERE workspace = %s
"""

# In the order of their ids: two calls with the same files in another order must not wait for each other.
_FIND: LiteralString = (
    """
WITH held AS (
    SELECT id FROM files WHERE id = ANY(%s) AND workspace = %s ORDER BY id FOR NO KEY UPDATE
)
UPDATE files SET access_count = access_count + 1, last_accessed = clock_timestamp()
WHERE id IN (SELECT id FROM held)
RETURNING """
    + _COLUMNS
)

_TOUCH: LiteralString = "SELECT " + _COLUMNS + " FROM files WHERE id = (SELECT touch_file(%s, %s, %s))"

# Only of these bytes: meanwhile they may have been stored anew.
_MISS: LiteralString = """
UPDATE files SET metadata = metadata || '{"bytes_missing": true}' WHERE id = %s AND storage_path = %s RETURNING id
"""

# An hour is longer than any way from here to the row.
_NOTE: LiteralString = """
INSERT INTO file_removals (storage_path, provider_file_ids, due_at) VALUES (%s, '{}', now() + interval '1 hour')
ON CONFLICT (storage_path) DO NOTHING
"""
_FORGET: LiteralString = """
DELETE FROM file_removals r
WHERE r.storage_path = %s AND NOT EXISTS (SELECT FROM files f WHERE f.storage_path = r.storage_path)
"""
_STORE: LiteralString = "SELECT * FROM store_file(%s, %s, %s, %s, %s, %s, %s, %s, %s)"


async def used_room(
    database: Database, *, workspace: str, sizes: tuple[int, int], within_s: float
) -> tuple[int, int, bool]:
    """How many files, and how many bytes, a workspace has; and whether it has a file of a size from one to another."""
    [(files, used, has_such)] = await database.fetch(_USED, (*sizes, workspace), within_s=within_s)
    return files, used, has_such


async def find_files(
    database: Database, ids: Collection[UUID], *, workspace: str, within_s: float
) -> dict[UUID, FileRecord]:
    """Those of these files that the workspace has, each counted as used."""
    rows = await database.fetch(_FIND, (list(ids), workspace), within_s=within_s)
    return {row[0]: FileRecord.of_row(row) for row in rows}


async def touch_file(
    database: Database, *, workspace: str, sha256: str, name: str, within_s: float
) -> FileRecord | None:
    """The file of the workspace that has this content, kept for a new grace period."""
    rows = await database.fetch(_TOUCH, (workspace, sha256, name), within_s=within_s)
    return FileRecord.of_row(rows[0]) if rows else None


async def miss_bytes(database: Database, file: FileRecord, *, within_s: float) -> None:
    """The bytes are not where they should be: whoever stores the content again brings them back."""
    await database.fetch(_MISS, (file.id, file.storage_path), within_s=within_s)


async def note_bytes(database: Database, storage_path: str, *, within_s: float) -> None:
    """Bytes are about to be put there: should nothing come of it, they are removed."""
    await database.fetch(_NOTE, (storage_path,), within_s=within_s)


async def forget_note(database: Database, storage_path: str, *, within_s: float) -> None:
    """The bytes are gone."""
    await database.fetch(_FORGET, (storage_path,), within_s=within_s)


async def store_file(
    database: Database, file: FileRecord, *, most_files: int, most_bytes: int, within_s: float
) -> tuple[str, FileRecord | None]:
    """The outcome that migration 0006 names, and the file's row, which may be another one's. 0: no limit."""
    rows = await database.fetch(
        _STORE,
        (
            *(file.id, file.workspace, file.storage_path, file.name, file.mime_type, file.size_bytes, file.sha256),
            *(most_files, most_bytes),
        ),
        within_s=within_s,
    )
    outcome, *columns = rows[0]
    return outcome, FileRecord.of_row(tuple(columns)) if columns[0] is not None else None

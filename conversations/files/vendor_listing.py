"""Which files vendors hold a copy of."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from conversations.files.records import FileRecord
from exai.database import Database

_MOST = 20_000  # rows; vendors keep fewer files of one account

_SELECT: LiteralString = """
SELECT id, workspace, original_name, mime_type, size_bytes, sha256, storage_path, created_at,
       provider_file_ids ->> %s, (metadata #>> ARRAY['provider_expiry', %s])::timestamptz,
       (SELECT count(*) FROM conversation_files c WHERE c.file_id = files.id)
FROM files
"""
# %s of a workspace: NULL is any.
_ALL: LiteralString = (
    _SELECT
    + """
WHERE provider_file_ids ->> %s IS NOT NULL AND (%s::text IS NULL OR workspace = %s)
ORDER BY created_at DESC, id LIMIT %s
"""
)
# Two ways, for no index knows the vendors' ids: where only the hub's are named, no other file is looked at.
NAMED_FILES: LiteralString = """
{select}
WHERE id IN (
    SELECT unnest(%s::uuid[])
    UNION ALL
    SELECT f.id FROM files f
    WHERE cardinality(%s::text[]) > 0 AND f.provider_file_ids ->> %s = ANY(%s::text[])
      AND (%s::text IS NULL OR f.workspace = %s)
) AND (%s::text IS NULL OR workspace = %s)
""".replace("{select}", _SELECT)


class CopiedFile(msgspec.Struct, frozen=True):
    """`copy_id`: the vendor's; empty: it has none. `conversations`: how many use the file."""

    record: FileRecord
    copy_id: str
    expires_at: datetime | None
    conversations: int


async def copied_files(
    database: Database, *, vendor: str, workspace: str | None, within_s: float
) -> Sequence[CopiedFile]:
    """Newest first. `workspace` None: of all."""
    parameters = (vendor, vendor, vendor, workspace, workspace, _MOST)
    return [_of_row(row) for row in await database.fetch(_ALL, parameters, within_s=within_s)]


async def named_files(
    database: Database,
    *,
    vendor: str,
    ids: Collection[UUID],
    copy_ids: Collection[str],
    workspace: str | None,
    within_s: float,
) -> Sequence[CopiedFile]:
    """The files of these ids, and those whose copies have these ids at the vendor. `workspace` None: of all."""
    parameters = naming(vendor=vendor, ids=ids, copy_ids=copy_ids, workspace=workspace)
    return [_of_row(row) for row in await database.fetch(NAMED_FILES, parameters, within_s=within_s)]


def naming(
    *, vendor: str, ids: Collection[UUID], copy_ids: Collection[str], workspace: str | None
) -> tuple[object, ...]:
    """The parameters of `NAMED_FILES`."""
    copies = list(copy_ids)
    of_workspace = (workspace, workspace)
    return (vendor, vendor, list(ids), copies, vendor, copies, *of_workspace, *of_workspace)


def _of_row(row: tuple[Any, ...]) -> CopiedFile:
    *columns, copy_id, expires_at, conversations = row
    return CopiedFile(FileRecord.of_row(tuple(columns)), copy_id or "", expires_at, conversations)

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
_NAMED: LiteralString = (
    _SELECT
    + """
WHERE (id = ANY(%s) OR provider_file_ids ->> %s = ANY(%s)) AND (%s::text IS NULL OR workspace = %s)
"""
)


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
    parameters = (vendor, vendor, list(ids), vendor, list(copy_ids), workspace, workspace)
    return [_of_row(row) for row in await database.fetch(_NAMED, parameters, within_s=within_s)]


def _of_row(row: tuple[Any, ...]) -> CopiedFile:
    *columns, copy_id, expires_at, conversations = row
    return CopiedFile(FileRecord.of_row(tuple(columns)), copy_id or "", expires_at, conversations)

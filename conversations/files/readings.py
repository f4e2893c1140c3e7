"""What was read of files, kept so that each is read once: the statements of calls with files. All may be repeated."""

from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

import msgspec

from conversations.files.records import FileRecord
from exai.database import Database

# Raised whenever other things are read of the same file, or other tokens counted: it is read anew then.
READER_VERSION = 1

# A file that could not be read is tried again after a while: the machine may have been too busy.
_LOOK: LiteralString = """
SELECT f.id, f.workspace, f.original_name, f.mime_type, f.size_bytes, f.sha256, f.storage_path, f.created_at,
       r.file_id IS NOT NULL, r.tokens, r.image_type, r.parts, r.problem
FROM files f LEFT JOIN file_readings r
  ON r.file_id = f.id AND r.version = %s AND (r.problem = '' OR r.created_at > now() - interval '10 minutes')
WHERE f.id = ANY(%s) AND f.workspace = %s
"""

# Only of a file that there is still: with a deleted one nothing would remove it.
_KEEP: LiteralString = """
WITH file AS (SELECT id FROM files WHERE id = %s FOR KEY SHARE)
INSERT INTO file_readings (file_id, version, text, image, image_type, parts, problem, tokens, created_at)
SELECT id, %s, %s, decode(%s, 'base64'), %s, %s, %s, %s, now() FROM file
ON CONFLICT (file_id) DO UPDATE SET
    version = EXCLUDED.version, text = EXCLUDED.text, image = EXCLUDED.image, image_type = EXCLUDED.image_type,
    parts = EXCLUDED.parts, problem = EXCLUDED.problem, tokens = EXCLUDED.tokens, created_at = EXCLUDED.created_at
WHERE file_readings.version <= EXCLUDED.version
"""

# PostgreSQL encodes the images: here it would cost the event loop milliseconds each.
_READ: LiteralString = """
SELECT f.id, f.mime_type, r.text, r.image_type, translate(encode(r.image, 'base64'), E'\\n', '')
FROM file_readings r JOIN files f ON f.id = r.file_id
WHERE f.id = ANY(%s) AND f.workspace = %s AND r.problem = ''
"""

LONGEST_PARTS = 200


class Reading(msgspec.Struct, frozen=True):
    """Of a file. `tokens`: an estimate for its text as a model is sent it. `image_type`: MIME; empty: no image. `parts`
    has at most `LONGEST_PARTS` characters."""

    tokens: int = 0
    image_type: str = ""
    parts: str = ""
    problem: str = ""


class Content(msgspec.Struct, frozen=True):
    """What was read: text, or an image as base64."""

    mime_type: str  # of the file
    text: str
    image_type: str
    image: str


async def look_at_files(
    database: Database, ids: Collection[UUID], *, workspace: str, within_s: float
) -> list[tuple[FileRecord, Reading | None]]:
    """Those of these files that the workspace has; None where one has yet to be read."""
    rows = await database.fetch(_LOOK, (READER_VERSION, list(ids), workspace), within_s=within_s)
    return [(FileRecord.of_row(row[:8]), Reading(*row[9:]) if row[8] else None) for row in rows]


async def keep_reading(
    database: Database, file_id: UUID, reading: Reading, *, text: str, image: str, within_s: float
) -> None:
    """`image`: base64."""
    values = (text, image, reading.image_type, reading.parts, reading.problem, reading.tokens)
    await database.fetch(_KEEP, (file_id, READER_VERSION, *values), within_s=within_s)


async def read_contents(
    database: Database, ids: Collection[UUID], *, workspace: str, within_s: float
) -> dict[UUID, Content]:
    """Of those of these files that the workspace has, and that could be read."""
    rows = await database.fetch(_READ, (list(ids), workspace), within_s=within_s)
    return {id_: Content(*columns) for id_, *columns in rows}

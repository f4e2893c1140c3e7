"""Contents to store, and what is there afterwards."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


def new_workspace() -> str:
    return f"w-{uuid.uuid4().hex[:12]}"


def blobs_below(folder: Path) -> set[str]:
    """The paths of all files in a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows_of(database: psycopg.Connection, workspace: str) -> list[tuple[str, str, int]]:
    """Name, path and size of the files of a workspace."""
    return database.execute(
        "SELECT original_name, storage_path, size_bytes FROM files WHERE workspace = %s", (workspace,)
    ).fetchall()


def notes_of(database: psycopg.Connection, workspace: str) -> list[str]:
    """The paths of a workspace that are noted for removal."""
    rows = database.execute(
        "SELECT storage_path FROM file_removals WHERE storage_path LIKE %s", (workspace + "/%",)
    ).fetchall()
    return [path for (path,) in rows]

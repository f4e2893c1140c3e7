"""A stored file, as a value."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class FileRecord(msgspec.Struct, frozen=True):
    """What is known of a file of a workspace. `name`: the one that it was first stored under; `mime_type`: by its
    content; `sha256`: hexadecimal, empty when the bytes are missing."""

    id: UUID
    workspace: str
    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    storage_path: str
    created_at: datetime

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> "FileRecord":
        """Of the columns id, workspace, original_name, mime_type, size_bytes, sha256, storage_path, created_at."""
        id_, workspace, name, mime_type, size_bytes, sha256, storage_path, created_at = row
        return cls(id_, workspace, name, mime_type, size_bytes, sha256 or "", storage_path, created_at)

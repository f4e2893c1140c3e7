"""Removing files: their rows first, with a note of their bytes; then the bytes, and the copies that vendors hold."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from conversations.files.blobs import Blobs
from conversations.files.errors import StorageAway
from conversations.models import ConversationFile, FileRemoval, StoredFile

logger = logging.getLogger(__name__)

BATCH = 500  # rows a transaction
_BYTES_BATCH = 20  # the deletion of one may take a request to a store
_LONGEST_BACKOFF = timedelta(days=1)


class CopyNotRemoved(Exception):
    """A vendor did not remove its copy; the message says why."""


class Vendors(Protocol):
    """Those that may hold copies of files."""

    def remove(self, vendor: str, copy_id: str) -> None:
        """Removes a vendor's copy; that there is none is no error. Raises `CopyNotRemoved`."""


class Orphan(NamedTuple):
    """A file that no conversation uses."""

    id: UUID
    workspace: str
    name: str
    size_bytes: int
    storage_path: str


class InUse(Exception):
    """Conversations use the file."""

    def __init__(self, conversations: int) -> None:
        super().__init__(f"{conversations} conversations use the file")
        self.conversations = conversations


class BytesRemoved(NamedTuple):
    removed: int
    failed: int  # to be tried again later


def orphaned_files(*, grace: timedelta) -> list[Orphan]:
    """What `orphaned_files_remove` would remove, oldest first."""
    return _cleanup(grace=grace, dry_run=True, limit=None)


def orphaned_files_remove(*, grace: timedelta) -> list[Orphan]:
    """Removes the rows of files that no conversation uses, and nobody stored or used within `grace`; their bytes are
    noted for `noted_bytes_remove`."""
    removed: list[Orphan] = []
    while batch := _cleanup(grace=grace, dry_run=False, limit=BATCH):
        removed += batch
    return removed


def _cleanup(*, grace: timedelta, dry_run: bool, limit: int | None) -> list[Orphan]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, workspace, original_name, size_bytes, storage_path "
            "FROM cleanup_orphaned_files(make_interval(secs => %s), %s, %s)",
            (grace.total_seconds(), dry_run, limit),
        )
        return [Orphan(*row) for row in cursor.fetchall()]


@transaction.atomic
def file_remove(*, file_id: UUID, workspace: str, unlink: bool) -> StoredFile | None:
    """Removes a file of the workspace; its bytes are noted. None when the workspace has no such file.

    Raises `InUse` when conversations use it, unless `unlink` takes it from them.
    """
    # From here on a linker waits for us, and the count that follows sees whoever was before us.
    file = StoredFile.objects.select_for_update().filter(pk=file_id, workspace=workspace).first()
    if file is None:
        return None
    links = ConversationFile.objects.filter(file=file).count()
    if links and not unlink:
        raise InUse(links)
    note_removal([file])
    StoredFile.objects.filter(pk=file.pk).delete()
    return file


def note_removal(files: list[StoredFile]) -> None:
    """Notes the bytes and the vendors' copies of files whose rows go in the same transaction."""
    FileRemoval.objects.bulk_create(
        [
            FileRemoval(storage_path=file.storage_path, provider_file_ids=file.provider_file_ids, due_at=Now())
            for file in files
        ],
        update_conflicts=True,
        unique_fields=["storage_path"],
        update_fields=["provider_file_ids", "due_at"],
    )


def noted_bytes_remove(*, blobs: Blobs, vendors: Vendors) -> BytesRemoved:
    """Removes the bytes, and the vendors' copies, whose notes are due. What fails is tried again later, and later."""
    removed = failed = 0
    while True:
        with transaction.atomic():
            notes = list(
                FileRemoval.objects.select_for_update(skip_locked=True)
                .filter(due_at__lte=Now())
                .order_by("due_at")[:_BYTES_BATCH]
            )
            for note in notes:
                done = _remove_noted(note, blobs, vendors)
                removed, failed = removed + done, failed + (not done)
        if not notes:
            return BytesRemoved(removed, failed)


def _remove_noted(note: FileRemoval, blobs: Blobs, vendors: Vendors) -> bool:
    if StoredFile.objects.filter(storage_path=note.storage_path).exists():
        # It is named again, such as by a restored backup: then nothing of it may go.
        note.delete()
        return True
    problems: list[str] = []
    try:
        blobs.delete(note.storage_path)
    except StorageAway as error:
        problems.append(f"{error.message} ({type(error.__cause__).__name__})")
    note.provider_file_ids = _remove_copies(note.provider_file_ids, vendors, problems)
    if not problems:
        note.delete()
        return True
    note.tries += 1
    logger.warning("Bytes of a removed file stay for now, tried %d times: %s", note.tries, problems[0])
    note.problem = " ".join(problems)
    note.due_at = timezone.now() + min(_LONGEST_BACKOFF, timedelta(minutes=2 ** min(note.tries, 11)))
    note.save(update_fields=["provider_file_ids", "tries", "problem", "due_at"])
    return False


def _remove_copies(copies: Mapping[str, Any], vendors: Vendors, problems: list[str]) -> dict[str, Any]:
    """The copies that are left."""
    left: dict[str, Any] = {}
    for vendor, copy_id in copies.items():
        try:
            vendors.remove(vendor, str(copy_id))
        except CopyNotRemoved as error:
            left[vendor] = copy_id
            problems.append(f"{vendor}: {error}")
    return left

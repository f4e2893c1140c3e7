"""Removing all that a workspace keeps. The records of its calls stay: they are the ledger."""

from typing import NamedTuple

from django.db import transaction

from conversations.files.blobs import Blobs
from conversations.files.cleanup import Vendors, note_removal, noted_bytes_remove
from conversations.models import Conversation, Message, StoredFile

_BATCH = 200  # conversations, or files, a transaction


class WorkspaceContents(NamedTuple):
    """What a workspace keeps, or what was removed of it."""

    conversations: int
    messages: int
    files: int
    bytes: int
    vendor_copies: int


def workspace_contents(*, workspace: str) -> WorkspaceContents:
    files = list(StoredFile.objects.filter(workspace=workspace).values_list("size_bytes", "provider_file_ids"))
    return WorkspaceContents(
        conversations=Conversation.objects.filter(workspace=workspace).count(),
        messages=Message.objects.filter(conversation__workspace=workspace).count(),
        files=len(files),
        bytes=sum(size for size, _ in files),
        vendor_copies=sum(len(copies) for _, copies in files),
    )


def workspace_remove(*, workspace: str, blobs: Blobs, vendors: Vendors) -> WorkspaceContents:
    """Removes conversations, messages, files and bytes; what fails of bytes and of copies at vendors
    is left to the hourly cleanup.

    In batches: when it is interrupted, it goes on where it was. May be repeated.
    """
    conversations = messages = files = size = copies = 0
    while True:
        with transaction.atomic():
            batch = list(
                Conversation.objects.select_for_update()
                .filter(workspace=workspace)
                .values_list("pk", flat=True)[:_BATCH]
            )
            removed = Conversation.objects.filter(pk__in=batch).delete()[1]
        conversations += removed.get(Conversation._meta.label, 0)
        messages += removed.get(Message._meta.label, 0)
        if not batch:
            break
    while True:
        with transaction.atomic():
            found = list(StoredFile.objects.select_for_update().filter(workspace=workspace)[:_BATCH])
            note_removal(found)
            StoredFile.objects.filter(pk__in=[file.pk for file in found]).delete()
        files += len(found)
        size += sum(file.size_bytes for file in found)
        copies += sum(len(file.provider_file_ids) for file in found)
        if not found:
            break
    noted_bytes_remove(blobs=blobs, vendors=vendors)
    return WorkspaceContents(conversations, messages, files, size, copies)

"""What the Celery worker does for conversations."""

from datetime import timedelta

from celery import shared_task

from conversations.files.blobs import hub_blobs
from conversations.files.cleanup import noted_bytes_remove, orphaned_files_remove
from conversations.files.vendor_removal import ConfiguredVendors
from conversations.services import calls_remove_expired, conversations_purge, conversations_remove_expired
from conversations.words import find_words
from exai.settings.hub import hub_settings


@shared_task(name="conversations.remove_expired")
def remove_expired() -> None:
    """Removes what is kept longer than the settings say."""
    settings = hub_settings()
    conversations_purge(days_in_bin=settings.bin_days)
    if settings.conversation_retention_days:
        conversations_remove_expired(older_than_days=settings.conversation_retention_days)
    if settings.call_retention_days:
        calls_remove_expired(older_than_days=settings.call_retention_days)


@shared_task(name="conversations.remove_orphaned_files")
def remove_orphaned_files() -> None:
    """Removes files that no conversation uses any more, and what killed uploads left over."""
    orphaned_files_remove(grace=timedelta(hours=hub_settings().file_grace_hours))
    noted_bytes_remove(blobs=hub_blobs(), vendors=ConfiguredVendors(hub_settings()))
    hub_blobs().staging.remove_leftovers()


@shared_task(name="conversations.find_words")
def find_words_of_messages() -> None:
    """Makes what was said since the last time quick to search."""
    find_words()

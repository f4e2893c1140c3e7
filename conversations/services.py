"""Changes to conversations outside the hot path."""

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from conversations.models import Conversation, ToolCall
from exai.protocol.errors import InvalidValue

LONGEST_TITLE = 200  # characters
BATCH = 500  # rows a transaction: short locks, and nothing lost when it is interrupted


def conversation_delete(*, conversation: Conversation) -> bool:
    """Puts it into the bin, where only the bin's own list finds it. False: it was there already."""
    return bool(
        Conversation.objects.filter(pk=conversation.pk, deleted_at__isnull=True).update(deleted_at=timezone.now())
    )


def bin_words(days: int) -> str:
    """What becomes of a deleted conversation, for people."""
    return f"It can be restored for {days} day{'' if days == 1 else 's'}." if days else "It is removed within the hour."


def conversation_restore(*, conversation: Conversation) -> bool:
    """Takes it out of the bin. False: it was not there."""
    return bool(Conversation.objects.filter(pk=conversation.pk, deleted_at__isnull=False).update(deleted_at=None))


def conversation_rename(*, conversation: Conversation, title: str) -> None:
    """Raises `InvalidValue`."""
    title = " ".join(title.replace("\x00", " ").split())
    if not title or len(title) > LONGEST_TITLE:
        raise InvalidValue(f"A title has 1 to {LONGEST_TITLE} characters.", title="too long" if title else "empty")
    Conversation.objects.filter(pk=conversation.pk).update(title=title)


def conversations_purge(*, days_in_bin: int) -> int:
    """Removes for good what has been in the bin for so many days, with its messages. How many."""
    latest = timezone.now() - timedelta(days=days_in_bin)
    return _remove(Conversation.objects.filter(deleted_at__lte=latest))


def conversations_remove_expired(*, older_than_days: int) -> int:
    """Removes conversations unused for so many days, with their messages. How many."""
    oldest_kept = timezone.now() - timedelta(days=older_than_days)
    return _remove(Conversation.objects.filter(updated_at__lt=oldest_kept))


def calls_remove_expired(*, older_than_days: int) -> int:
    """Removes the records of calls that ended so many days ago. How many."""
    oldest_kept = timezone.now() - timedelta(days=older_than_days)

    def remove_batch() -> int:
        batch = ToolCall.objects.filter(ended_at__lt=oldest_kept).values("pk")[:BATCH]
        return ToolCall.objects.filter(pk__in=batch).delete()[0]

    return _in_batches(remove_batch)


def _remove(conversations: QuerySet[Conversation]) -> int:
    def remove_batch() -> int:
        # Locked, so that what is restored or continued meanwhile stays.
        batch = conversations.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH]
        _, removed = Conversation.objects.filter(pk__in=list(batch)).delete()
        return removed.get(Conversation._meta.label, 0)

    return _in_batches(remove_batch)


def _in_batches(remove_batch: Callable[[], int]) -> int:
    total = 0
    while True:
        with transaction.atomic():
            removed = remove_batch()
        total += removed
        if removed < BATCH:
            return total

"""Changes to conversations outside the hot path."""

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from conversations.models import Conversation, ToolCall

BATCH = 500  # rows a transaction: short locks, and nothing lost when it is interrupted


def conversations_remove_expired(*, older_than_days: int) -> int:
    """Removes conversations unused for so many days, with their messages. How many."""
    oldest_kept = timezone.now() - timedelta(days=older_than_days)

    def remove_batch() -> int:
        batch = Conversation.objects.filter(updated_at__lt=oldest_kept).values("pk")[:BATCH]
        _, removed = Conversation.objects.filter(pk__in=batch).delete()
        return removed.get(Conversation._meta.label, 0)

    return _in_batches(remove_batch)


def calls_remove_expired(*, older_than_days: int) -> int:
    """Removes the records of calls that ended so many days ago. How many."""
    oldest_kept = timezone.now() - timedelta(days=older_than_days)

    def remove_batch() -> int:
        batch = ToolCall.objects.filter(ended_at__lt=oldest_kept).values("pk")[:BATCH]
        return ToolCall.objects.filter(pk__in=batch).delete()[0]

    return _in_batches(remove_batch)


def _in_batches(remove_batch: Callable[[], int]) -> int:
    total = 0
    while True:
        with transaction.atomic():
            removed = remove_batch()
        total += removed
        if removed < BATCH:
            return total

"""What the full-text search reads: one row a message, kept up by triggers (migration 0008) and a task."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from conversations.models.conversation import Message


class MessageWords(models.Model):
    """The words of a message, at position 0 also those of the title, and as words of their own the workspace, and the
    span of ids that it lies in. A turn only notes that there is a message; the worker finds its words
    (conversations.words)."""

    message = models.OneToOneField(
        Message, on_delete=models.DO_NOTHING, primary_key=True, related_name="words", db_constraint=False
    )
    workspace = models.CharField(max_length=64)
    words = SearchVectorField(null=True, help_text="Empty: not found out yet.")

    class Meta:
        db_table = "message_words"
        indexes = (
            models.Index(fields=["workspace", "message"], name="message_words_newest"),
            models.Index(fields=["message"], name="message_words_due", condition=models.Q(words__isnull=True)),
            # What is not found out yet costs it nothing.
            GinIndex(fields=["words"], name="message_words_found", condition=models.Q(words__isnull=False)),
        )

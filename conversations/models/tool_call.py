"""The record of every tool call."""

import uuid

from django.db import models

from conversations.models.conversation import Conversation
from exai.models import ApiClient


class CallStatus(models.TextChoices):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class ToolCall(models.Model):
    """One ended call; running ones are not here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="calls", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.SET_NULL, null=True, related_name="calls")
    workspace = models.CharField(max_length=64)
    request_id = models.CharField(max_length=256)
    tool = models.CharField(max_length=64)
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=CallStatus.choices)
    error_code = models.CharField(max_length=32, blank=True)
    error_message = models.TextField(blank=True)
    input_tokens = models.PositiveIntegerField(null=True)
    cached_tokens = models.PositiveIntegerField(null=True)
    reasoning_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, help_text="US dollars; unknown when empty.")
    price_version = models.CharField(
        max_length=64, blank=True, db_default="", help_text="The price that the cost was computed by."
    )
    estimated_tokens = models.BigIntegerField(
        null=True, help_text="Used, but not counted by the vendor: by the length of what was sent and received."
    )
    estimated_cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, help_text="US dollars, of what the vendor did not count."
    )
    excess_tokens = models.BigIntegerField(
        null=True, help_text="Counted by the vendor beyond what was reserved of a budget."
    )
    excess_cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, help_text="US dollars beyond what was reserved of a budget."
    )
    queue_ms = models.FloatField(default=0)
    provider_ms = models.FloatField(default=0)
    total_ms = models.FloatField(default=0)
    cached = models.CharField(max_length=16, blank=True, help_text="How the cache answered; empty when it did not.")
    correlation_id = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        db_table = "tool_calls"
        ordering = ("-ended_at",)
        verbose_name = "call"
        indexes = (
            models.Index(fields=["client", "-ended_at"], name="call_by_client"),
            models.Index(fields=["workspace", "-ended_at"], name="call_by_workspace"),
            models.Index(fields=["ended_at"], name="call_by_age"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(status__in=CallStatus.values), name="call_status_known"),
        )

    def __str__(self) -> str:
        return f"{self.tool} {self.id}"

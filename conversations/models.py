"""Conversations, their messages, and the record of every tool call.

Turns are written by one SQL statement (conversations.statements); what may never be broken stands here as constraints.
"""

import uuid

import msgspec
from django.db import models
from django.utils import timezone

from exai.models import ApiClient


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class CallStatus(models.TextChoices):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class MessageDetails(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Schema of `Message.metadata`."""

    tool: str = ""
    call_id: str = ""
    reasoning: str = ""


class ConversationDetails(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Schema of `Conversation.metadata`."""

    begun_by_tool: str = ""


class Conversation(models.Model):
    continuation_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="conversations")
    workspace = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    model = models.CharField(max_length=200, blank=True, help_text="Model of the last answer.")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "conversations"
        ordering = ("-updated_at",)
        indexes = (
            models.Index(fields=["workspace", "-updated_at"], name="conversation_by_workspace"),
            models.Index(fields=["updated_at"], name="conversation_by_age"),
        )

    def __str__(self) -> str:
        return self.title or str(self.continuation_id)

    @property
    def details(self) -> ConversationDetails:
        return msgspec.convert(self.metadata, ConversationDetails)


class Message(models.Model):
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    position = models.PositiveIntegerField(help_text="0, 1, 2, … within the conversation.")
    role = models.CharField(max_length=16, choices=Role.choices)
    content = models.TextField()
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=64, blank=True)
    tokens = models.PositiveIntegerField(null=True, help_text="As the vendor counted them; unknown when empty.")
    metadata = models.JSONField(default=dict)
    idempotency_key = models.CharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "messages"
        ordering = ("conversation", "position")
        constraints = (
            # Also the index that pages are read by.
            models.UniqueConstraint(fields=["conversation", "position"], name="message_position_once"),
            models.UniqueConstraint(fields=["conversation", "idempotency_key"], name="message_idempotent"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="message_role_known"),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.position}"

    @property
    def details(self) -> MessageDetails:
        return msgspec.convert(self.metadata, MessageDetails)


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

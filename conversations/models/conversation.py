"""Conversations and their messages.

Turns are written by one SQL statement (conversations.statements); what may never be broken stands here as constraints.
"""

import uuid

import msgspec
from django.db import models
from django.utils import timezone

from exai.models import ApiClient
from exai.protocol.values import FileMention


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class MessageDetails(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Schema of `Message.metadata`."""

    tool: str = ""
    call_id: str = ""
    reasoning: str = ""
    files: tuple[FileMention, ...] = ()


class ConversationDetails(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Schema of `Conversation.metadata`."""

    begun_by_tool: str = ""
    forked_from: str = ""  # the continuation id
    forked_at_turn: int = 0  # how many turns were taken along


class Conversation(models.Model):
    continuation_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(ApiClient, on_delete=models.PROTECT, related_name="conversations")
    workspace = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    model = models.CharField(max_length=200, blank=True, help_text="Model of the last answer.")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(
        null=True, blank=True, help_text="In the bin since then; removed for good after a while."
    )

    class Meta:
        db_table = "conversations"
        ordering = ("-updated_at",)
        indexes = (
            # NULLS LAST, so that no other index has this order: by age, a list would read through all workspaces.
            models.Index(
                "workspace",
                models.F("updated_at").desc(nulls_last=True),
                models.F("id").desc(),
                name="conversation_by_use",
            ),
            models.Index(fields=["updated_at"], name="conversation_by_age"),
            models.Index(
                fields=["deleted_at"], name="conversation_in_bin", condition=models.Q(deleted_at__isnull=False)
            ),
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

"""Files: what a workspace keeps, which conversations use it, and what a model is sent of it.

Rows come and go by SQL (conversations/files): one content is one row and one blob a workspace.
"""

import uuid
from datetime import datetime
from typing import Any

import msgspec
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from conversations.models.conversation import Conversation


class FileType(models.TextChoices):
    USER_UPLOAD = "user_upload"
    GENERATED = "generated"
    CACHE = "cache"


class FileDetails(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Schema of `StoredFile.metadata`. `names`: others that the same content was stored under. `provider_expiry`:
    vendor -> when its id in `provider_file_ids` ends; `provider_claims`: vendor -> until when somebody uploads it."""

    names: tuple[str, ...] = ()
    provider_expiry: dict[str, datetime] = {}
    provider_claims: dict[str, datetime] = {}
    bytes_missing: bool = False
    legacy: dict[str, Any] = {}


class StoredFile(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.CharField(max_length=64)
    storage_path = models.CharField(max_length=1024, unique=True, help_text="In the storage that holds the bytes.")
    original_name = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=128, help_text="By its content, whatever its name says.")
    size_bytes = models.BigIntegerField()
    file_type = models.CharField(max_length=16, choices=FileType.choices, default=FileType.USER_UPLOAD)
    sha256 = models.CharField(max_length=64, null=True, help_text="Hexadecimal; empty when the bytes are missing.")
    provider_file_ids = models.JSONField(default=dict, help_text="Vendor -> the id that it knows the file by.")
    local_cache_path = models.CharField(max_length=1024, blank=True, db_default="")
    last_accessed = models.DateTimeField(null=True)
    access_count = models.BigIntegerField(default=0, db_default=0)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "files"
        ordering = ("-created_at",)
        verbose_name = "file"
        indexes = (models.Index(fields=["workspace", "-created_at", "id"], name="file_by_workspace"),)
        constraints = (
            models.UniqueConstraint(fields=["workspace", "sha256"], name="file_content_once"),
            models.CheckConstraint(condition=models.Q(file_type__in=FileType.values), name="file_type_known"),
            models.CheckConstraint(condition=models.Q(size_bytes__gte=0), name="file_size_not_negative"),
        )

    def __str__(self) -> str:
        return self.original_name

    @property
    def details(self) -> FileDetails:
        return msgspec.convert(self.metadata, FileDetails)


class ConversationFile(models.Model):
    """A file that a conversation uses. The database itself removes it with either (migration 0005)."""

    pk = models.CompositePrimaryKey("conversation_id", "file_id")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="file_links", db_index=False, db_constraint=False
    )
    file = models.ForeignKey(
        StoredFile, on_delete=models.CASCADE, related_name="conversation_links", db_constraint=False
    )
    added_at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        db_table = "conversation_files"


class FileReading(models.Model):
    """What a model is sent of a file: its text, or an image; made once by a process of its own."""

    file = models.OneToOneField(
        StoredFile, on_delete=models.CASCADE, primary_key=True, related_name="reading", db_constraint=False
    )
    version = models.PositiveSmallIntegerField(help_text="Of the reader; an older reading is made anew.")
    text = models.TextField(blank=True)
    tokens = models.PositiveIntegerField(
        default=0, db_default=0, help_text="An estimate for the text as a model is sent it."
    )
    image = models.BinaryField(default=bytes)
    image_type = models.CharField(max_length=32, blank=True, help_text="The image's MIME type; empty: none.")
    parts = models.CharField(max_length=200, blank=True, help_text="Which part was read, where not all was.")
    problem = models.TextField(blank=True, help_text="Why it cannot be read; empty: it can.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "file_readings"


class FileRemoval(models.Model):
    """Bytes that no file names, or does not name yet: a note that is written before bytes are, and stays when their
    file goes. A task removes what is due. So a killed upload leaves nothing behind."""

    storage_path = models.CharField(max_length=1024, unique=True)
    provider_file_ids = models.JSONField(default=dict, help_text="Vendor -> the id of its copy, to be deleted there.")
    due_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0, db_default=0)
    problem = models.TextField(blank=True, db_default="", help_text="Why the last try failed.")

    class Meta:
        db_table = "file_removals"
        indexes = (models.Index(fields=["due_at"], name="file_removal_due"),)

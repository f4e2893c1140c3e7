"""Files in the admin: what workspaces keep, where it is used, which vendors hold it. Nothing is edited here."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import action

from conversations.files.cleanup import file_remove
from conversations.models import ConversationFile, FileReading, StoredFile
from exai.api.downloads import file_answer
from exai.protocol.errors import HubError

_MOST_LISTED = 50
_NOWHERE = "No conversation uses it."


@admin.register(StoredFile)
class StoredFileAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "workspace", "type", "size", "uses", "vendors", "access_count", "created_at")
    list_filter = ("workspace", "mime_type", "file_type")
    search_fields = ("original_name", "sha256__startswith", "id__startswith")
    search_help_text = "Name, or the beginning of the SHA-256 or of the id"
    date_hierarchy = "created_at"
    list_per_page = 50
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("name", "other_names", "workspace", "type", "size", "content_hash", "id")}),
        ("Used", {"fields": ("conversations", "access_count", "last_accessed", "created_at")}),
        ("Copies at vendors", {"fields": ("copies",)}),
        ("What a model is sent of it", {"fields": ("reading_state",)}),
        ("Stored", {"fields": ("place", "file_type")}),
    )
    actions_detail = ("download",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredFile]:
        return super().get_queryset(request).annotate(uses_count=Count("conversation_links"))  # type: ignore[no-any-return]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(ordering="original_name")
    def name(self, file: StoredFile) -> str:
        return file.original_name

    @admin.display(ordering="mime_type")
    def type(self, file: StoredFile) -> str:
        return file.mime_type

    @admin.display(description="SHA-256")
    def content_hash(self, file: StoredFile) -> str:
        return _breakable(file.sha256 or "unknown: the bytes are missing")

    @admin.display(description="path in the storage")
    def place(self, file: StoredFile) -> str:
        return _breakable(file.storage_path)

    @admin.display(ordering="size_bytes")
    def size(self, file: StoredFile) -> str:
        return filesizeformat(file.size_bytes)

    @admin.display(description="used by", ordering="uses_count")
    def uses(self, file: Any) -> str:
        return f"{file.uses_count} conversation{'' if file.uses_count == 1 else 's'}" if file.uses_count else "–"

    @admin.display(description="vendors")
    def vendors(self, file: StoredFile) -> str:
        return ", ".join(sorted(file.provider_file_ids)) or "–"

    @admin.display(description="also named")
    def other_names(self, file: StoredFile) -> str:
        return ", ".join(file.details.names) or "–"

    @admin.display(description="conversations")
    def conversations(self, file: StoredFile) -> str:
        links = file.conversation_links.select_related("conversation").order_by("-added_at")[: _MOST_LISTED + 1]
        lines = [
            (
                reverse("admin:conversations_conversation_change", args=[link.conversation_id]),
                str(link.conversation),
                " (in the bin)" if link.conversation.deleted_at else "",
            )
            for link in links[:_MOST_LISTED]
        ]
        more = format_html("<br>and more") if len(links) > _MOST_LISTED else ""
        listed = format_html_join(format_html("<br>"), '<a class="text-link" href="{}">{}</a>{}', lines)
        return format_html("{}{}", listed, more) if lines else _NOWHERE

    @admin.display(description="copies")
    def copies(self, file: StoredFile) -> str:
        expiry, now = file.details.provider_expiry, datetime.now(UTC)
        lines = []
        for vendor, copy in sorted(file.provider_file_ids.items()):
            ends = expiry.get(vendor)
            state = f"used until {ends:%Y-%m-%d %H:%M} UTC" if ends and ends > now else "not used any more"
            lines.append((vendor, copy, state))
        return format_html_join(format_html("<br>"), "{}: <code>{}</code>, {}", lines) if lines else "None."

    @admin.display(description="reading")
    def reading_state(self, file: StoredFile) -> str:
        reading = FileReading.objects.filter(pk=file.pk).first()
        if reading is None:
            return "Not read yet: it is when a tool uses it."
        if reading.problem:
            return reading.problem
        parts = f" ({reading.parts})" if reading.parts else ""
        if reading.image_type:
            return f"An image, {reading.image_type}, {filesizeformat(len(reading.image))}{parts}"
        return f"{len(reading.text):,} characters of text{parts}"

    @action(description="Download", icon="download")  # type: ignore[untyped-decorator]
    def download(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        file = get_object_or_404(StoredFile, pk=object_id)
        if not self.has_view_permission(request, file):
            raise PermissionDenied
        try:
            return file_answer(request, file)
        except HubError as error:
            messages.error(request, error.message)
            return redirect("admin:conversations_storedfile_change", object_id)

    def delete_model(self, request: HttpRequest, obj: StoredFile) -> None:
        file_remove(file_id=obj.pk, workspace=obj.workspace, unlink=True)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[StoredFile]) -> None:
        for file in queryset:
            file_remove(file_id=file.pk, workspace=file.workspace, unlink=True)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """For the confirmation: what goes is the file, and its place in each conversation that uses it."""
        files = list(objs)
        listed = [f"{file.original_name}, {filesizeformat(file.size_bytes)}" for file in files]
        links = ConversationFile.objects.filter(file__in=files).count()
        copies = sum(len(file.provider_file_ids) for file in files)
        counts = {"files": len(files), "places in conversations": links, "copies at vendors": copies}
        needed = set() if self.has_delete_permission(request) else {"file"}
        return listed, {name: count for name, count in counts.items() if count}, needed, []


def _breakable(text: str) -> str:
    """A long word that a narrow screen may break anywhere."""
    return format_html('<span style="overflow-wrap: anywhere">{}</span>', text)

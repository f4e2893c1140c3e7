"""Conversations and calls in the admin. What was said and done is history: it is read here, not edited."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from conversations.models import Conversation, Message, ToolCall


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MessageInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Message
    fields = ("position", "role", "content", "model", "provider", "tokens", "created_at")
    ordering = ("position",)
    extra = 0
    can_delete = False
    hide_title = True


@admin.register(Conversation)
class ConversationAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("title", "client", "workspace", "model", "turns", "created_at", "updated_at")
    list_filter = ("workspace", "client", "model")
    search_fields = ("title", "continuation_id")
    search_help_text = "Title or continuation id"
    date_hierarchy = "updated_at"
    list_select_related = ("client",)
    list_per_page = 50
    show_full_result_count = False
    fields = ("title", "continuation_id", "client", "workspace", "model", "created_at", "updated_at")
    inlines = (MessageInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).annotate(message_count=Count("messages"))  # type: ignore[no-any-return]

    @admin.display(description="turns")
    def turns(self, conversation: Any) -> int:
        return int(conversation.message_count) // 2


@admin.register(ToolCall)
class ToolCallAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = (
        "ended_at",
        "tool",
        "client",
        "status",
        "error_code",
        "model",
        "input_tokens",
        "output_tokens",
        "dollars",
        "total_ms",
        "provider_ms",
        "queue_ms",
    )
    list_filter = ("status", "tool", "provider", "model", "error_code", "client")
    search_fields = ("id", "request_id", "correlation_id", "error_message")
    search_help_text = "Call id, request id, correlation id, or words of the error"
    date_hierarchy = "ended_at"
    list_select_related = ("client",)
    list_per_page = 50
    show_full_result_count = False

    @admin.display(description="cost, US$", ordering="cost")
    def dollars(self, call: Any) -> str:
        if call.cost is None:
            return "unknown" if call.model else ""
        return f"{call.cost:.6f}"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

"""Conversations and calls in the admin. What was said and done is history: it is read here, not edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from conversations.conversation_admin import ConversationAdmin
from conversations.models import ToolCall

__all__ = ["ConversationAdmin", "ToolCallAdmin"]


@admin.register(ToolCall)
class ToolCallAdmin(ModelAdmin):  # type: ignore[misc]
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

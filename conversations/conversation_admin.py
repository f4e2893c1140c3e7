"""Conversations in the admin. What was said is history: it is read here, not edited; but found, exported, forked and
deleted."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from conversations.conversation_lists import (
    MOST_COUNTED,
    BinFilter,
    CappedPaginator,
    ModelFilter,
    WorkspaceFilter,
    ids_found,
)
from conversations.conversation_page import conversation_context
from conversations.downloads import export_response
from conversations.exporting import ExportFormat
from conversations.forking import conversation_fork
from conversations.listing import turns_of
from conversations.models import Conversation
from conversations.searching import SearchTooBroad
from conversations.services import bin_words, conversation_delete, conversation_restore
from exai.protocol.errors import InvalidValue
from exai.settings.hub import hub_settings

_LIST = "admin:conversations_conversation_changelist"
_MOST_AT_ONCE = 500
_PAGE = "admin:conversations_conversation_change"


@admin.register(Conversation)
class ConversationAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("shown_title", "client", "workspace", "model", "turns", "created_at", "updated_at")
    list_filter = (BinFilter, WorkspaceFilter, "client", ModelFilter)
    search_fields = ("title",)  # its box; what is found is up to get_search_results
    search_help_text = 'Words of titles and messages: word, or, -word, "a phrase", begin*; or a continuation id'
    list_select_related = ("client",)
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    actions = ("bin_selected",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_fork_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.add_conversation"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).annotate(turn_count=turns_of("pk"))  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        if not search_term.strip():
            return queryset, False
        workspace, in_bin = request.GET.get("workspace") or None, request.GET.get("bin") == "yes"
        try:
            return queryset.filter(pk__in=ids_found(search_term, workspace, in_bin=in_bin)), False
        except SearchTooBroad as error:
            messages.warning(request, error.message)
            return queryset.none(), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Django's own would remove for good.
        found: dict[str, Any] = super().get_actions(request)
        return {name: action for name, action in found.items() if name != "delete_selected"}

    def get_urls(self) -> list[URLPattern]:
        page = "<path:object_id>/"
        own = [
            path(
                f"{page}export/<str:format_name>/", self.admin_site.admin_view(self.export), name="conversation_export"
            ),
            path(f"{page}fork/", self.admin_site.admin_view(self.fork), name="conversation_fork"),
            path(f"{page}restore/", self.admin_site.admin_view(self.restore), name="conversation_restore"),
        ]
        return [*own, *super().get_urls()]

    @admin.display(description="title", ordering="title")
    def shown_title(self, conversation: Conversation) -> str:
        return str(conversation)

    @admin.display(description="turns")
    def turns(self, conversation: Any) -> int:
        return int(conversation.turn_count)

    @admin.action(description="Delete: to the bin, from which they can be restored", permissions=["delete"])
    def bin_selected(self, request: HttpRequest, conversations: QuerySet[Conversation]) -> HttpResponse | None:
        chosen = list(conversations.filter(deleted_at__isnull=True)[:MOST_COUNTED])
        if not chosen:
            messages.info(request, "They are in the bin already.")
            return None
        if len(chosen) > _MOST_AT_ONCE:
            messages.error(
                request, f"Nothing was deleted: {len(chosen):,} were chosen, and {_MOST_AT_ONCE} go at once."
            )
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, chosen, "Delete", back=reverse(_LIST), action="bin_selected")
        for conversation in chosen:
            self._bin(request, conversation)
        messages.success(request, f"Deleted: {len(chosen)}. {bin_words(hub_settings().bin_days)}")
        return None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The conversation, to be read."""
        conversation = self._one(request, object_id)
        if request.method != "GET":
            raise PermissionDenied
        context = {
            **conversation_context(request, conversation),
            "may_delete": self.has_delete_permission(request, conversation),
            "may_fork": self.has_fork_permission(request),
            "may_see_calls": request.user.has_perm("conversations.view_toolcall"),
            "may_see_files": request.user.has_perm("conversations.view_storedfile"),
            "days_in_bin": hub_settings().bin_days,
        }
        return self._render(request, "admin/exai/conversation.html", str(conversation), context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks, and puts it into the bin."""
        conversation = self._one(request, object_id)
        if not self.has_delete_permission(request, conversation):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, [conversation], "Delete", back=reverse(_PAGE, args=[conversation.pk]))
        self._bin(request, conversation)
        messages.success(request, f"“{conversation}” was deleted. {bin_words(hub_settings().bin_days)}")
        return HttpResponseRedirect(reverse(_LIST))

    def restore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks, and takes it out of the bin."""
        conversation = self._one(request, object_id)
        if not self.has_delete_permission(request, conversation):
            raise PermissionDenied
        back = reverse(_PAGE, args=[conversation.pk])
        if request.method != "POST":
            return self._ask(request, [conversation], "Restore", back=back)
        if conversation_restore(conversation=conversation):
            self._log(self.log_change(request, conversation, "Taken out of the bin."), conversation)
            messages.success(request, f"“{conversation}” is back.")
        return HttpResponseRedirect(back)

    def fork(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Posted by the page, with the number of turns."""
        conversation = self._one(request, object_id)
        if not self.has_fork_permission(request) or request.method != "POST":
            raise PermissionDenied
        text = request.POST.get("turn", "")
        turns = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        try:
            fork = conversation_fork(conversation=conversation, turns=turns, client_id=conversation.client_id)
        except InvalidValue as error:
            messages.error(request, f"Not forked. {error.message}")
            return HttpResponseRedirect(reverse(_PAGE, args=[conversation.pk]))
        self._log(
            self.log_addition(request, fork, f"Forked from {conversation.continuation_id} at turn {turns}."), fork
        )
        messages.success(request, f"This is the fork; its client goes on with {fork.continuation_id}.")
        return HttpResponseRedirect(reverse(_PAGE, args=[fork.pk]))

    def export(self, request: HttpRequest, object_id: str, format_name: str) -> StreamingHttpResponse:
        """The download."""
        conversation = self._one(request, object_id)
        if format_name not in list(ExportFormat):
            raise Http404
        return export_response(conversation, ExportFormat(format_name))

    def _one(self, request: HttpRequest, object_id: str) -> Conversation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not object_id.isascii() or not object_id.isdigit() or len(object_id) > 18:
            raise Http404
        conversation = Conversation.objects.select_related("client").filter(pk=int(object_id)).first()
        if conversation is None:
            raise Http404
        return conversation

    def _bin(self, request: HttpRequest, conversation: Conversation) -> None:
        if conversation_delete(conversation=conversation):
            self._log(self.log_change(request, conversation, "Moved to the bin."), conversation)

    def _log(self, entry: LogEntry, conversation: Conversation) -> None:
        # The log is kept for ever, and a title is what somebody said: it goes with its conversation.
        entry.object_repr = str(conversation.continuation_id)
        entry.save(update_fields=["object_repr"])

    def _ask(
        self, request: HttpRequest, chosen: list[Conversation], deed: str, *, back: str, action: str = ""
    ) -> HttpResponse:
        context = {
            "chosen": chosen,
            "deed": deed,
            "back": back,
            "action": action,
            "restorable": bin_words(hub_settings().bin_days),
        }
        return self._render(request, "admin/exai/conversation_confirm.html", f"{deed}?", context)

    def _render(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name  # as the admin's own views do
        page = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "is_fullwidth": "1"}
        return TemplateResponse(request, template, {**page, **context})

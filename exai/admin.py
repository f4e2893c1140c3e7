"""Clients, and the people who sign in, in the admin. Tokens are never shown here: they are made on the command line."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple, ModelForm, MultipleChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from exai.access import client_set_enabled
from exai.models import ApiClient, Budget, Scope
from exai.tools.profiles import unknown_tools

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class HubUserAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class HubGroupAdmin(GroupAdmin, ModelAdmin):  # type: ignore[misc]
    pass


class ApiClientForm(ModelForm):  # type: ignore[type-arg]
    scopes = MultipleChoiceField(choices=Scope.choices, widget=CheckboxSelectMultiple, required=False)

    def clean_tools_allowed(self) -> list[str]:
        return self._tools("tools_allowed")

    def clean_tools_denied(self) -> list[str]:
        return self._tools("tools_denied")

    def _tools(self, field: str) -> list[str]:
        names: list[str] = list(dict.fromkeys(self.cleaned_data[field]))
        if unknown := unknown_tools(names):
            raise ValidationError(f"There are no tools of these names: {', '.join(unknown)}.")
        return names

    class Meta:
        model = ApiClient
        fields = (
            *("workspace", "scopes", "enabled", "expires_at"),
            *("tool_profile", "tools_allowed", "tools_denied"),
            *("max_inflight", "session_max_inflight", "frame_rate"),
        )


@admin.register(ApiClient)
class ApiClientAdmin(ModelAdmin):  # type: ignore[misc]
    form = ApiClientForm
    list_display = (
        *("name", "workspace", "token_start", "scope_names", "tool_profile", "enabled", "expires_at", "last_used_at"),
    )
    list_filter = ("enabled", "tool_profile", "workspace")
    search_fields = ("name", "workspace")
    readonly_fields = ("name", "token_start", "last_used_at", "created_at")
    fields = (*readonly_fields, *ApiClientForm.Meta.fields)
    actions = ("disable", "enable")

    @admin.display(description="scopes")
    def scope_names(self, client: ApiClient) -> str:
        return ", ".join(client.scopes)

    @admin.action(description="Disable: their connections close within a second")
    def disable(self, request: HttpRequest, clients: QuerySet[ApiClient]) -> None:
        self._set_enabled(request, clients, enabled=False)

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, clients: QuerySet[ApiClient]) -> None:
        self._set_enabled(request, clients, enabled=True)

    def _set_enabled(self, request: HttpRequest, clients: QuerySet[ApiClient], *, enabled: bool) -> None:
        for client in clients:
            client_set_enabled(client=client, enabled=enabled)
            self.log_change(request, client, "Enabled." if enabled else "Disabled.")
        done = "enabled" if enabled else "disabled"
        self.message_user(request, f"{len(clients)} clients {done}.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a token is shown once, to the terminal: manage.py create_client

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its conversations and calls stay; disable it instead

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "GET":
            self.message_user(request, "New clients and new tokens: manage.py create_client NAME, rotate_token NAME.")
        return super().changelist_view(request, extra_context)


@admin.register(Budget)
class BudgetAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("subject", "limit", "period")
    list_filter = ("period", "unit", "client", "workspace")
    list_select_related = ("client",)
    fields = ("client", "workspace", "period", "unit", "amount")

    @admin.display(ordering="client__name")
    def subject(self, budget: Budget) -> str:
        return budget.subject

    @admin.display(ordering="amount")
    def limit(self, budget: Budget) -> str:
        return budget.limit

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "GET":
            self.message_user(request, "A change is in force within a second. What is left stands on the page Usage.")
        return super().changelist_view(request, extra_context)

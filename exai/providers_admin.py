"""Endpoints, models, prices and routes in the admin. A change counts in every web process within a second.

A key is written here and never read: no page shows it, nor any part of it.
"""

from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import BooleanField, CharField, ModelForm, NullBooleanField, ValidationError
from django.http import HttpRequest
from django.utils import timezone
from pydantic import TypeAdapter
from pydantic import ValidationError as InvalidKey
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanWidget

from exai.breakers_admin import breaker_states
from exai.calls.redis_link import RedisAway
from exai.models import ModelPrice, ModelRoute, ProviderEndpoint, ProviderModel
from exai.models.provider_endpoint import VENDORS
from exai.provider_config.keys import endpoint_set_key
from exai.provider_config.overview import endpoints_overview, models_overview, routes_overview
from exai.settings.hub import hub_settings
from exai.settings.values import ApiKey

_api_key: TypeAdapter[Any] = TypeAdapter(ApiKey)
_LONGEST_KEY = 4000
_ABILITY_CHOICES = (("unknown", "As the catalogue says"), ("true", "Yes"), ("false", "No"))


class EndpointForm(ModelForm):  # type: ignore[type-arg]
    key = CharField(
        required=False,
        max_length=_LONGEST_KEY,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Kept encrypted, and never shown again. Empty: stays as it is.",
    )
    remove_key = BooleanField(required=False, widget=UnfoldBooleanWidget, help_text="Forget the key that is set.")

    class Meta:
        model = ProviderEndpoint
        fields = ("name", "enabled", "url", "max_inflight")

    def clean_key(self) -> str:
        try:
            key: str = _api_key.validate_python(self.cleaned_data["key"]).get_secret_value()
        except InvalidKey:
            raise ValidationError("A key is one word of printable ASCII characters.") from None
        return key

    def clean_url(self) -> str:
        return str(self.cleaned_data["url"]).strip().rstrip("/")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        name = given.get("name") or self.instance.name
        elsewhere = {*VENDORS, *(endpoint.name for endpoint in hub_settings().endpoints)}
        if not given.get("url") and "url" not in self.errors and name not in elsewhere:
            self.add_error("url", "The environment has no endpoint of this name, so its base URL stands here.")
        if given.get("key") and given.get("remove_key"):
            self.add_error("remove_key", "Either a new key or none.")
        # Else whoever may edit an endpoint could have its key sent to a server of their own.
        moved = _host(given.get("url", "")) != _host(self.initial.get("url", ""))
        if self.instance.has_key and moved and not given.get("key") and not given.get("remove_key"):
            self.add_error("key", "Enter the key anew: the one that is set was meant for the other address.")
        return given


@admin.register(ProviderEndpoint)
class ProviderEndpointAdmin(ModelAdmin):  # type: ignore[misc]
    form = EndpointForm
    list_display = ("name", "enabled", "url", "key_is_set", "max_inflight", "updated_at")
    list_filter = ("enabled",)
    search_fields = ("name", "url")
    list_before_template = "admin/exai/endpoints_header.html"
    fields = ("name", "enabled", "url", "key", "remove_key", "key_is_set", "max_inflight", "updated_at")
    readonly_fields = ("key_is_set", "updated_at")
    actions = ("disable", "enable")

    @admin.display(description="key set here", boolean=True)
    def key_is_set(self, endpoint: ProviderEndpoint) -> bool:
        return endpoint.has_key

    def get_readonly_fields(self, request: HttpRequest, obj: ProviderEndpoint | None = None) -> tuple[str, ...]:
        # A sealed key opens under its endpoint's name only.
        return ("name", *self.readonly_fields) if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: ProviderEndpoint, form: Any, change: bool) -> None:
        if form.cleaned_data["key"] or form.cleaned_data["remove_key"]:
            endpoint_set_key(endpoint=obj, key=form.cleaned_data["key"])
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)

    @admin.action(description="Disable: no new call is answered by them within a second")
    def disable(self, request: HttpRequest, endpoints: QuerySet[ProviderEndpoint]) -> None:
        self._set_enabled(request, endpoints, enabled=False)

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, endpoints: QuerySet[ProviderEndpoint]) -> None:
        self._set_enabled(request, endpoints, enabled=True)

    def _set_enabled(self, request: HttpRequest, endpoints: QuerySet[ProviderEndpoint], *, enabled: bool) -> None:
        for endpoint in endpoints:
            ProviderEndpoint.objects.filter(pk=endpoint.pk).update(enabled=enabled, updated_at=timezone.now())
            self.log_change(request, endpoint, "Enabled." if enabled else "Disabled.")
        done = "enabled" if enabled else "disabled"
        self.message_user(request, f"{len(endpoints)} endpoints {done}.", messages.SUCCESS)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        extra = {**(extra_context or {})}
        if self.has_view_permission(request):
            extra |= {"overview": endpoints_overview(hub_settings()), "may_reset": self.has_change_permission(request)}
            # Without Redis each web process keeps breakers of its own, and none is shown here.
            with suppress(RedisAway):
                extra["breakers"] = breaker_states()
        return super().changelist_view(request, extra)


class OfEndpoint(ModelAdmin):  # type: ignore[misc]
    """Rows about an endpoint that may have none itself, below the models that are in force."""

    list_before_template = "admin/exai/models_header.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        overview = {"overview": models_overview(hub_settings())} if self.has_view_permission(request) else {}
        return super().changelist_view(request, {**(extra_context or {}), **overview})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.provider not in {endpoint.name for endpoint in endpoints_overview(hub_settings())}:
            self.message_user(
                request, f"There is no endpoint {obj.provider}: this does nothing until there is.", messages.WARNING
            )


class ProviderModelForm(ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field, NullBooleanField):
                field.widget.choices = _ABILITY_CHOICES

    def clean_aliases(self) -> list[str] | None:
        return self.cleaned_data["aliases"] or None


@admin.register(ProviderModel)
class ProviderModelAdmin(OfEndpoint):
    form = ProviderModelForm
    list_display = ("model_id", "provider", "enabled", "context", "output", "vision", "thinking", "tools", "web_search")
    list_filter = ("provider", "enabled")
    search_fields = ("model_id", "provider")
    fields = (
        *("provider", "model_id", "enabled", "context", "output"),
        *("vision", "thinking", "tools", "web_search", "aliases"),
    )


@admin.register(ModelPrice)
class ModelPriceAdmin(OfEndpoint):
    """A price that is wrong is deleted and entered anew; `manage.py recost` corrects the calls that it was used for."""

    list_display = ("model_id", "provider", "version", "effective_from", "input_price", "cached_price", "output_price")
    list_filter = ("provider",)
    search_fields = ("model_id", "provider", "version")
    fields = ("provider", "model_id", "version", "effective_from", "input", "cached", "output")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="input", ordering="input")
    def input_price(self, price: ModelPrice) -> str:
        return _plain(price.input)

    @admin.display(description="cached", ordering="cached", empty_value="as input")
    def cached_price(self, price: ModelPrice) -> str | None:
        return None if price.cached is None else _plain(price.cached)

    @admin.display(description="output", ordering="output")
    def output_price(self, price: ModelPrice) -> str:
        return _plain(price.output)


@admin.register(ModelRoute)
class ModelRouteAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "models_by_preference")
    fields = ("name", "model_names")
    list_before_template = "admin/exai/routes_header.html"

    @admin.display(description="models, by preference")
    def models_by_preference(self, route: ModelRoute) -> str:
        return ", ".join(route.model_names)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        overview = {"overview": routes_overview(hub_settings())} if self.has_view_permission(request) else {}
        return super().changelist_view(request, {**(extra_context or {}), **overview})


def _plain(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}"


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()

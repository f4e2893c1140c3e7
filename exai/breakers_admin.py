"""Asking a provider again at once that is left alone after failures, from the admin's list of endpoints."""

from typing import cast

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from exai.calls.page_breakers import close_breaker, open_breakers
from exai.calls.redis_link import RedisAway
from exai.models import ProviderEndpoint
from exai.settings.hub import hub_settings


def breaker_states() -> dict[str, str]:
    """Provider -> in words, for those that are left alone. Raises `RedisAway`."""
    return {
        name: f"left alone for {left_s:.0f} s more" if left_s else "the next call tries it"
        for name, left_s in open_breakers(_redis_url()).items()
    }


@require_POST
def reset_breaker(request: HttpRequest, provider: str) -> HttpResponse:
    """Closes the breaker of a provider; for whoever may change endpoints."""
    if not admin.site.get_model_admin(ProviderEndpoint).has_change_permission(request):
        raise PermissionDenied
    try:
        was_open = close_breaker(_redis_url(), provider)
    except RedisAway:
        messages.error(request, "Not reset: Redis does not answer. Try again when it is back.")
    else:
        if was_open:
            LogEntry.objects.create(
                user=cast(User, request.user),
                content_type=ContentType.objects.get_for_model(ProviderEndpoint),
                object_repr=provider[:200],
                action_flag=CHANGE,
                change_message="Reset the breaker.",
            )
            messages.success(request, f"{provider} is asked again.")
        else:
            messages.info(request, f"The breaker of {provider} was closed already.")
    return redirect("admin:exai_providerendpoint_changelist")


def _redis_url() -> str:
    url = hub_settings().redis_url
    if url is None:
        raise RedisAway("no address is configured")
    return url.get_secret_value()

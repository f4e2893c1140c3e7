"""The page at `/`, until the dashboard takes its place."""

from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from exai.settings.hub import hub_settings
from exai.version import VERSION

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@staff_member_required
def landing(request: HttpRequest) -> HttpResponse:
    public = hub_settings().public_url or hub_settings().local_url
    context: dict[str, Any] = {"version": VERSION, "tools_url": public.replace("http", "ws", 1) + "/ws/tools/"}
    response = render(request, "landing.html", context)
    response["Content-Security-Policy"] = _POLICY
    return response

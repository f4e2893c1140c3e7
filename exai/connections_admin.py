"""The live connections of all web processes, in the admin: who is connected, from where, and a way to end it."""

from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from exai.calls.connection_monitor import PublishedConnections, read_connections, tell_to_disconnect
from exai.calls.connection_registry import ConnectionFigures
from exai.calls.redis_link import RedisAway
from exai.models import ApiClient
from exai.settings.hub import hub_settings

RELOAD_S = 5
_MOST_ROWS = 200  # what is drawn anew every few seconds; who looks for one among more searches


class _Row(NamedTuple):
    connection: ConnectionFigures
    age: str


@require_GET
def connections(request: HttpRequest) -> HttpResponse:
    """`?q=` keeps the rows in which it occurs, `?refresh=off` stops the reloading."""
    if not _clients_admin().has_view_permission(request):
        raise PermissionDenied
    now = datetime.now(UTC)
    context: dict[str, Any] = {**_reloading(request), "now": now}
    try:
        published = read_connections(_redis_url())
    except RedisAway as away:
        return _page(request, "connections.html", {**context, "away": away.reason}, status=503)
    found = [connection for connection in published.connections if _matches(connection, context["query"])]
    context |= {
        **_totals(published),
        "found": len(found),
        "rows": [_Row(connection, age(now, connection.since)) for connection in found[:_MOST_ROWS]],
        "may_disconnect": _clients_admin().has_change_permission(request),
        "published_every": f"{hub_settings().slot_lease_secs / 4:g}",
    }
    return _page(request, "connections.html", context)


@require_http_methods(["GET", "POST"])
def disconnect(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Asks whether it is meant, then closes the connection and writes down who did it."""
    if not _clients_admin().has_change_permission(request):
        raise PermissionDenied
    back = redirect("connections")
    try:
        listed = read_connections(_redis_url()).connections
        connection = next((listed for listed in listed if listed.id == connection_id), None)
        if connection is None:
            messages.info(request, "That connection is gone already.")
        elif request.method == "GET":
            context = {
                "connection": connection,
                "age": age(datetime.now(UTC), connection.since),
                "kept_for": f"{hub_settings().result_ttl:g}",
            }
            return _page(request, "connection_disconnect.html", context)
        elif tell_to_disconnect(_redis_url(), connection):
            _log(request, connection)
            messages.success(request, f"Disconnected {_described(connection)}.")
        else:
            messages.warning(
                request,
                f"Not disconnected: the web process {connection.process} did not hear it. If it has died, its "
                "connections are closed already and leave this list within seconds; else try again.",
            )
    except RedisAway:
        messages.error(request, "Not disconnected: Redis does not answer. Try again when it is back.")
    return back


def age(now: datetime, since: datetime) -> str:
    """In the two largest units: `42 s`, `5 min 3 s`, `3 h 12 min`, `2 d 4 h`."""
    seconds = max(0, int((now - since).total_seconds()))  # the clocks of two machines may differ
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for unit, length in units:
        count, seconds = divmod(seconds, length)
        parts.append(f"{count} {unit}")
    first = next((place for place, part in enumerate(parts) if not part.startswith("0 ")), len(parts) - 1)
    return " ".join(parts[first : first + 2])


def _clients_admin() -> Any:
    # Whoever may see or change clients may see or end their connections.
    return admin.site.get_model_admin(ApiClient)


def _redis_url() -> str:
    url = hub_settings().redis_url
    if url is None:
        raise RedisAway("no address is configured")
    return url.get_secret_value()


def _reloading(request: HttpRequest) -> dict[str, Any]:
    query = request.GET.get("q", "").strip()
    searched = {"q": query} if query else {}
    paused = request.GET.get("refresh") == "off"
    own = reverse("connections")
    return {
        "query": query,
        "reload_s": None if paused else RELOAD_S,
        "reload_url": request.get_full_path(),
        "live_url": f"{own}?{urlencode(searched)}",
        "pause_url": f"{own}?{urlencode({**searched, 'refresh': 'off'})}",
    }


def _matches(connection: ConnectionFigures, query: str) -> bool:
    names = (connection.client, connection.workspace, connection.session, connection.address, connection.process)
    return any(query.lower() in name.lower() for name in names)


def _totals(published: PublishedConnections) -> dict[str, Any]:
    listed = published.connections
    return {
        "total": len(listed),
        "clients": len({connection.client_id for connection in listed if connection.client_id}),
        "processes": len({connection.process for connection in listed}),
        "calls": sum(connection.calls for connection in listed),
        "unreadable": published.unreadable,
    }


def _page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    request.current_app = admin.site.name  # as the admin's own views do
    page = {**admin.site.each_context(request), "title": "Connections", "is_fullwidth": "1", **context}
    return TemplateResponse(request, f"admin/exai/{template}", page, status=status)


def _described(connection: ConnectionFigures) -> str:
    who = f"{connection.client}, session {connection.session}" if connection.client else "a client before its hello"
    return f"{who}, from {connection.address or 'a unix socket'} (connection {connection.id})"


def _log(request: HttpRequest, connection: ConnectionFigures) -> None:
    client = ApiClient.objects.filter(pk=connection.client_id).first()
    message = f"Disconnected {_described(connection)}."
    if client is not None:
        _clients_admin().log_change(request, client, message)
    else:
        LogEntry.objects.create(
            user=cast(User, request.user),  # the admin lets nobody else in
            content_type=ContentType.objects.get_for_model(ApiClient),
            object_repr=f"Connection {connection.id}",
            action_flag=CHANGE,
            change_message=message,
        )

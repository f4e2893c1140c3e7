"""Probes for load balancers and the supervisor."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import LiteralString

from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.decorators import async_only_middleware

from exai.database import DatabaseAway
from exai.gateway.gateway import gateway

_TABLE_EXISTS: LiteralString = "SELECT to_regclass('django_migrations') IS NOT NULL"
_APPLIED: LiteralString = "SELECT app, name FROM django_migrations"
_PATIENCE_S = 2.0


async def live(request: HttpRequest) -> JsonResponse:
    """The process runs."""
    return JsonResponse({"status": "ok"})


async def ready(request: HttpRequest) -> JsonResponse:
    """May this process take traffic? 503 names what is missing. Redis away is degraded, not unready."""
    missing = await _missing()
    degraded = []
    if not await gateway().hub.redis_answers():
        degraded.append("redis: does not answer; calls work, but are ordered within each process only")
    status = "not ready" if missing else "degraded" if degraded else "ready"
    return JsonResponse({"status": status, "missing": missing, "degraded": degraded}, status=503 if missing else 200)


async def _missing() -> list[str]:
    if gateway().hub.draining:
        return ["draining: this process is about to stop"]
    try:
        unapplied = await _migrations.unapplied()
    except DatabaseAway:
        return ["database: does not answer"]
    if unapplied:
        return [f"migrations: {unapplied} to apply; run manage.py migrate"]
    try:
        await gateway().registry.ready()
    except DatabaseAway:
        return ["models: the provider tables have not been read yet"]
    return []


class _Migrations:
    """How many migrations the database lacks. Once it lacks none, it is only asked whether it answers."""

    def __init__(self) -> None:
        self._all_applied = False

    async def unapplied(self) -> int:
        database = gateway().database
        if self._all_applied:
            await database.fetch("SELECT 1", within_s=_PATIENCE_S)
            return 0
        ours = await asyncio.to_thread(lambda: set(MigrationLoader(None).disk_migrations))
        exists = (await database.fetch(_TABLE_EXISTS, within_s=_PATIENCE_S))[0][0]
        applied = set(await database.fetch(_APPLIED, within_s=_PATIENCE_S)) if exists else set()
        unapplied = len(ours - applied)
        self._all_applied = unapplied == 0
        return unapplied


_migrations = _Migrations()

_PROBES = {"/health/live": live, "/health/ready": ready}


@async_only_middleware
def answer_probes(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Stands before all other middleware, which refuses unknown hosts: load balancers ask by address."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        probe = _PROBES.get(request.path_info) if request.method in ("GET", "HEAD") else None
        return await (probe or get_response)(request)

    return middleware

"""The hub's own state, for the tools about it, for health, and for whoever wants to know whether it is ending."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from conversations.files.blobs import Blobs
from conversations.recent_calls import ended_calls, recent_failures
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.database import Database, DatabaseAway
from exai.gateway.presence import Presence
from exai.gateway.self_checks import SelfChecks
from exai.live_registry.live_registry import LiveRegistry
from exai.settings.file_storage import files_dir
from exai.settings.hub import HubSettings
from exai.tools.hub import CallFilter, Check, EndedCallFacts

_PATIENCE_S = 2.0


class HubState:
    """Implements `exai.tools.hub.Hub` for one web process."""

    def __init__(
        self,
        *,
        database: Database,
        link: RedisLink,
        presence: Presence,
        settings: HubSettings,
        registry: LiveRegistry,
        blobs: Blobs,
    ) -> None:
        self.started_at = datetime.now(UTC)
        self.draining = False
        self.calls_in_flight = 0
        self.capacity = settings.global_max_inflight  # calls in flight, in all processes
        self.limits = _limits(settings)
        self._database = database
        self._link = link
        self._presence = presence
        self._registry = registry
        self._checks = SelfChecks(components=self.components, blobs=blobs, folder=files_dir(settings))

    @property
    def unconfigured_vendors(self) -> dict[str, str]:
        return self._registry.unconfigured_vendors

    @property
    def connections(self) -> int:
        return len(self._presence)

    @property
    def provider_limits(self) -> Mapping[str, int]:
        return self._registry.provider_limits

    async def components(self) -> dict[str, dict[str, Any]]:
        """Component -> {status: ok | down, latency_ms, message?}."""
        database, redis = await asyncio.gather(_probe(self._ask_database), _probe(self._ask_redis))
        return {"database": database, "redis": redis}

    async def redis_answers(self) -> bool:
        return bool((await _probe(self._ask_redis))["status"] == "ok")

    async def checks(self) -> Sequence[Check]:
        return await self._checks.run()

    async def recent_failures(self, *, workspace: str | None, most: int) -> list[dict[str, Any]]:
        return await recent_failures(self._database, workspace=workspace, most=most, within_s=_PATIENCE_S)

    async def ended_calls(self, wanted: CallFilter) -> list[EndedCallFacts]:
        return await ended_calls(self._database, wanted, within_s=_PATIENCE_S)

    async def _ask_database(self) -> None:
        await self._database.fetch("SELECT 1", within_s=_PATIENCE_S)

    async def _ask_redis(self) -> None:
        await self._link.command("PING")


def _limits(settings: HubSettings) -> dict[str, float]:
    return {
        "calls_in_flight": settings.global_max_inflight,
        "calls_in_flight_a_session": settings.session_max_inflight,
        "call_seconds": settings.tool_timeout_secs,
        "arguments_bytes": settings.tool_call_max_size,
        "file_bytes": settings.max_file_bytes,
        "turns_a_conversation": settings.max_conversation_turns,
        "conversation_hours": settings.conversation_timeout_hours,
    }


async def _probe(ask: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await ask()
    except (DatabaseAway, RedisAway, RedisRefused, OSError) as error:
        return {"status": "down", "latency_ms": None, "message": type(error).__name__}
    return {"status": "ok", "latency_ms": round((time.perf_counter() - started) * 1000, 2)}

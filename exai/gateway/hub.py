"""The hub's own state, for the tools about it, for health, and for whoever wants to know whether it is ending."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from conversations.statements import recent_failures
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.database import Database, DatabaseAway
from exai.gateway.presence import Presence
from exai.live_registry.live_registry import LiveRegistry
from exai.tools.table import TOOLS

_PATIENCE_S = 2.0


class HubState:
    """Implements `exai.tools.context.Hub` for one web process."""

    def __init__(
        self,
        *,
        database: Database,
        link: RedisLink,
        presence: Presence,
        capacity: int,
        registry: LiveRegistry,
    ) -> None:
        self.started_at = datetime.now(UTC)
        self.draining = False
        self.calls_in_flight = 0
        self.capacity = capacity  # calls in flight, in all processes
        self._database = database
        self._link = link
        self._presence = presence
        self._registry = registry

    @property
    def unconfigured_vendors(self) -> dict[str, str]:
        return self._registry.unconfigured_vendors

    @property
    def connections(self) -> int:
        return len(self._presence)

    def tool_names(self) -> list[str]:
        return [tool.name for tool in TOOLS]

    async def components(self) -> dict[str, dict[str, Any]]:
        """Component -> {status: ok | down, latency_ms, message?}."""
        database, redis = await asyncio.gather(_probe(self._ask_database), _probe(self._ask_redis))
        return {"database": database, "redis": redis}

    async def redis_answers(self) -> bool:
        return bool((await _probe(self._ask_redis))["status"] == "ok")

    async def recent_failures(self, *, workspace: str, most: int) -> list[dict[str, Any]]:
        return await recent_failures(self._database, workspace=workspace, most=most, within_s=_PATIENCE_S)

    async def _ask_database(self) -> None:
        await self._database.fetch("SELECT 1", within_s=_PATIENCE_S)

    async def _ask_redis(self) -> None:
        await self._link.command("PING")


async def _probe(ask: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await ask()
    except (DatabaseAway, RedisAway, RedisRefused, OSError) as error:
        return {"status": "down", "latency_ms": None, "message": type(error).__name__}
    return {"status": "ok", "latency_ms": round((time.perf_counter() - started) * 1000, 2)}

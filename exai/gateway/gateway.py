"""The parts of the gateway, put together once a process at its first use: no server needs to start them."""

from functools import cache

import msgspec
from redis.asyncio import Redis

from exai.calls.conversation_turn import ConversationTurns
from exai.database import Database
from exai.gateway.executor import Executor
from exai.gateway.hub import HubState
from exai.gateway.presence import Presence
from exai.protocol.frames import ToolDescription
from exai.settings.hub import HubSettings, hub_settings
from exai.tools.input_schema import input_schema
from exai.tools.table import TOOLS
from exai.wiring import build_registry, unconfigured_vendors

_REDIS_PATIENCE_S = 2.0


class Gateway:
    def __init__(self, settings: HubSettings) -> None:
        if settings.database_url is None or settings.redis_url is None:
            raise RuntimeError("The web process needs DATABASE_URL and REDIS_URL; `manage.py up` sets them.")
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
        self.redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_REDIS_PATIENCE_S,
            socket_connect_timeout=_REDIS_PATIENCE_S,
        )
        self.registry = build_registry(settings)
        self.presence = Presence(self.database)
        self.hub = HubState(
            database=self.database,
            redis=self.redis,
            presence=self.presence,
            unconfigured_vendors=unconfigured_vendors(settings),
        )
        self.executor = Executor(
            settings=settings,
            database=self.database,
            turns=ConversationTurns(self.redis),
            registry=self.registry,
            hub=self.hub,
        )
        self.tool_catalogue = msgspec.Raw(
            msgspec.json.encode(
                [ToolDescription(tool.name, tool.description, input_schema(tool.input_model)) for tool in TOOLS]
            )
        )

    async def drain(self) -> None:
        """Ends the work of this process: no new calls, running ones finish, then every connection is closed."""
        self.hub.draining = True
        await self.executor.drain(within_s=self.settings.drain_secs)
        await self.presence.close_all()

    async def close(self) -> None:
        await self.registry.close()
        await self.redis.aclose()
        await self.database.close()


@cache
def gateway() -> Gateway:
    """This process's gateway."""
    return Gateway(hub_settings())

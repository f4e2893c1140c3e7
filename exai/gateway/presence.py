"""The live connections of this web process: closed when their client is disabled, and at the end of the process."""

import asyncio
import logging
from typing import Protocol

from exai.database import Database, DatabaseAway
from exai.gateway.authentication import AuthenticatedClient, still_valid

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
UNAUTHORIZED = 4003
SERVICE_RESTART = 1012


class Connection(Protocol):
    client: AuthenticatedClient | None

    async def close(self, code: int, reason: str) -> None: ...


class Presence:
    """The connections are asked after in the database twice a second, all in one query: so a change counts within a
    second whoever made it and however (a command, the admin, SQL), without Redis, and nothing needs to be told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connections: set[Connection] = set()
        self._checking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_while_connected())

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)

    async def close_all(self) -> None:
        """Says goodbye to everyone: the hub ends, or starts anew."""
        if self._checking is not None:
            self._checking.cancel()
        closing = [connection.close(SERVICE_RESTART, "service restart") for connection in list(self._connections)]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _check_while_connected(self) -> None:
        while self._connections:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self._close_refused()
            except DatabaseAway:
                logger.warning("Clients cannot be checked while PostgreSQL is away; their connections stay")

    async def _close_refused(self) -> None:
        connected = {connection: connection.client for connection in self._connections if connection.client}
        if not connected:
            return
        valid = await still_valid(self._database, {client.id for client in connected.values()})
        for connection, client in connected.items():
            if client not in valid:
                await connection.close(UNAUTHORIZED, "unauthorized")

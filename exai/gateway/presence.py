"""The live connections of this web process: counted with those of the others and published for all to see, closed when
their client is disabled, by an operator, and at the end of the process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from exai.calls import keys, scripts
from exai.calls.connection_registry import DISCONNECT, ConnectionFigures, ConnectionRegistry, Traffic
from exai.calls.process import OpenConnection, Process
from exai.calls.redis_link import RedisAway, RedisLink
from exai.database import Database, DatabaseAway
from exai.gateway.authentication import AuthenticatedClient, still_valid
from exai.settings.gateway import GatewaySettings

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
CLOSE_PATIENCE_S = 1.0  # for a reader that does not take its frames
_CLOSE_LOOKS = 50
UNAUTHORIZED = 4003
POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012


class Connection(Protocol):
    id: str
    session_id: str
    address: str
    limited_address: str
    client: AuthenticatedClient | None
    traffic: Traffic

    @property
    def calls_in_flight(self) -> int: ...

    @property
    def is_closed(self) -> bool: ...

    async def close(self, code: int, reason: str) -> None:
        """Must come back soon, and not raise, whatever the other side does."""
        ...

    def abort(self) -> None: ...


class Presence:
    """The connections are asked after in the database twice a second, all in one query: so a change counts within a
    second whoever made it and however (a command, the admin, SQL), without Redis, and nothing needs to be told."""

    def __init__(self, *, settings: GatewaySettings, database: Database, link: RedisLink, process: Process) -> None:
        self._settings = settings
        self._database = database
        self._link = link
        self._process = process
        self._connections: dict[str, Connection] = {}
        self._checking: asyncio.Task[None] | None = None
        self._disconnecting: set[asyncio.Task[None]] = set()
        self._registry = ConnectionRegistry(link, process)
        self._every_check: list[Callable[[], Awaitable[None]]] = []
        process.on_beat(self._publish)
        process.on(DISCONNECT, self._disconnect)

    def __len__(self) -> int:
        return len(self._connections)

    def on_check(self, listener: Callable[[], Awaitable[None]]) -> None:
        """`listener` is called when the first one connects, and then twice a second. It may raise `DatabaseAway`."""
        self._every_check.append(listener)

    async def enter(self, connection: Connection) -> str | None:
        """Counts a connection; why it may not stay, in words, when a limit is reached."""
        await self._process.start()
        address = connection.limited_address
        address_key = keys.address_connections(address) if address else ""
        refused = await self._reached_limit(connection, address_key)
        if refused == "all":
            return f"the hub has all its {self._settings.max_connections} connections"
        if refused == "address":
            return f"your address has all its {self._settings.max_connections_per_ip} connections"
        self._connections[connection.id] = connection
        self._process.connections[connection.id] = OpenConnection(connection.id, address_key)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_while_connected())
        return None

    def leave(self, connection: Connection) -> None:
        if self._connections.pop(connection.id, None) is None:
            return
        held = self._process.connections.pop(connection.id)
        # At once: who asks again elsewhere is recognised by that its first connection is gone.
        self._link.send("ZREM", f"{keys.PREFIX}connections", connection.id, lazily=False)
        if held.address_key:
            self._link.send("ZREM", held.address_key, connection.id)

    async def close_all(self) -> None:
        """Says goodbye to everyone: the hub ends, or starts anew."""
        if self._checking is not None:
            self._checking.cancel()
        leaving = list(self._connections.values())
        await asyncio.gather(*(connection.close(SERVICE_RESTART, "service restart") for connection in leaving))
        self._publish()
        # Who does not answer the close in time is not waited for.
        for _ in range(_CLOSE_LOOKS):
            if all(connection.is_closed for connection in leaving):
                return
            await asyncio.sleep(CLOSE_PATIENCE_S / _CLOSE_LOOKS)
        for connection in leaving:
            connection.abort()

    async def _close_unseen(self, connection: Connection) -> None:
        """Whoever looks once it is closed does not see it any more."""
        await self._registry.publish_now(self._all_figures())
        await connection.close(POLICY_VIOLATION, "disconnected by an operator")

    def _publish(self) -> None:
        self._registry.publish(self._all_figures())

    def _all_figures(self) -> Iterator[ConnectionFigures]:
        return (self._figures(connection) for connection in self._connections.values())

    def _figures(self, connection: Connection) -> ConnectionFigures:
        client, traffic = connection.client, connection.traffic
        return ConnectionFigures(
            id=connection.id,
            process=self._process.id,
            client_id=client.id if client else 0,
            client=client.name if client else "",
            workspace=client.workspace if client else "",
            session=connection.session_id,
            address=connection.address,
            since=traffic.since,
            frames_in=traffic.frames_in,
            frames_out=traffic.frames_out,
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            calls=connection.calls_in_flight,
        )

    def _disconnect(self, connection_id: str) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            return
        self.leave(connection)
        closing = asyncio.create_task(self._close_unseen(connection))
        self._disconnecting.add(closing)
        closing.add_done_callback(self._disconnecting.discard)

    async def _reached_limit(self, connection: Connection, address_key: str) -> str:
        """`all`, `address`, or empty."""
        most, most_here = self._settings.max_connections, self._settings.max_connections_per_ip
        try:
            reply = await self._link.script(
                scripts.ENTER, [], [connection.id, self._process.lease_ms, most, address_key, most_here]
            )
        except RedisAway:
            # Each process by itself then has half, as with calls.
            from_here = sum(
                1 for other in self._connections.values() if other.limited_address == connection.limited_address
            )
            if len(self) >= max(1, most // 2):
                return "all"
            return "address" if address_key and from_here >= max(1, most_here // 2) else ""
        return bytes(reply).decode()

    async def _check_while_connected(self) -> None:
        while self._connections:
            for listener in self._every_check:
                await self._attempt(listener)
            await asyncio.sleep(CHECK_INTERVAL_S)
            await self._attempt(self._close_refused)

    async def _attempt(self, check: Callable[[], Awaitable[None]]) -> None:
        try:
            await check()
        except DatabaseAway:
            logger.warning("Clients cannot be checked while PostgreSQL is away; their connections stay")
        except Exception:  # a check that ended would leave every later change unseen
            logger.exception("The check of connected clients failed; it is tried again")

    async def _close_refused(self) -> None:
        connected = {connection: connection.client for connection in self._connections.values() if connection.client}
        if not connected:
            return
        valid = await still_valid(self._database, {client.id for client in connected.values()})
        good_tokens = {(client.id, client.token_hash) for client in valid}
        await asyncio.gather(
            # 4003 tells a program that its token is of no use any more, and not to come back.
            *(
                connection.close(SERVICE_RESTART, "the client was changed, connect again")
                if (client.id, client.token_hash) in good_tokens
                else connection.close(UNAUTHORIZED, "unauthorized")
                for connection, client in connected.items()
                if client not in valid
            )
        )

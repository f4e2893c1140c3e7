"""The hot path's way to PostgreSQL: psycopg's async pool, one statement a transaction. Everything else uses the ORM."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool

from exai.protocol.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

Parameters = Sequence[Any] | Mapping[str, Any]

_LONGEST_PAUSE_S = 1.0
_CANCEL_PATIENCE_S = 6.0
# Classes of SQLSTATE: connection exceptions, insufficient resources, the server is starting or stopping.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNABLE = ("08", "53", "57P")
_ROLLED_BACK = "40"  # two transactions were in each other's way


class DatabaseAway(ServiceUnavailable):
    """PostgreSQL could not be reached in the time there was."""

    def __init__(self) -> None:
        super().__init__("The hub's database cannot be reached at the moment. Try again in a few seconds.")


class Database:
    """Belongs to the event loop that uses it first; connections are opened then."""

    def __init__(self, url: str, *, pool_size: int) -> None:
        self._url = url
        self._pool_size = pool_size
        self._pool: AsyncConnectionPool | None = None
        self._abandoned: set[asyncio.Task[list[tuple[Any, ...]]]] = set()
        self.away = False  # the last statement did not get through

    async def fetch(
        self, statement: LiteralString, parameters: Parameters = (), *, within_s: float
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement, committed. While PostgreSQL is away it is tried again for `within_s` seconds,
        so a statement must be safe to repeat. Raises `DatabaseAway`, and psycopg's errors for what is wrong in itself.
        """
        give_up_at = time.monotonic() + within_s
        pause_s = 0.05
        while True:
            try:
                rows = await self._fetch_within(statement, parameters, max(0.05, give_up_at - time.monotonic()))
                self.away = False
                return rows
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if error.sqlstate and not error.sqlstate.startswith((*_UNABLE, _ROLLED_BACK)):
                    raise  # PostgreSQL is there: the statement was cancelled, or found a lock
                self.away = not (error.sqlstate or "").startswith(_ROLLED_BACK)
                if time.monotonic() + pause_s >= give_up_at:
                    logger.error("PostgreSQL is away: %s", type(error).__name__)
                    raise DatabaseAway from None
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _fetch_once(
        self, statement: LiteralString, parameters: Parameters, wait_s: float
    ) -> list[tuple[Any, ...]]:
        pool = self._pool or await self._open()
        async with pool.connection(timeout=wait_s) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def _fetch_within(
        self, statement: LiteralString, parameters: Parameters, wait_s: float
    ) -> list[tuple[Any, ...]]:
        """Raises `psycopg.OperationalError` when PostgreSQL has not answered by then."""
        fetching = asyncio.create_task(self._fetch_once(statement, parameters, wait_s))
        try:
            await asyncio.wait({fetching}, timeout=wait_s)
        finally:
            if not fetching.done():
                self._abandon(fetching)
        if not fetching.done():
            raise psycopg.OperationalError("PostgreSQL does not answer")
        return fetching.result()

    def _abandon(self, fetching: "asyncio.Task[list[tuple[Any, ...]]]") -> None:
        """Ends a statement without waiting for it. psycopg answers a first cancel by asking PostgreSQL to stop, and
        waits for that; a second one drops the connection."""
        fetching.cancel()
        asyncio.get_running_loop().call_later(_CANCEL_PATIENCE_S, fetching.cancel)
        self._abandoned.add(fetching)
        fetching.add_done_callback(self._forget)

    def _forget(self, fetching: "asyncio.Task[list[tuple[Any, ...]]]") -> None:
        self._abandoned.discard(fetching)
        if not fetching.cancelled():
            fetching.exception()  # nobody asks for it any more

    async def _open(self) -> AsyncConnectionPool:
        self._pool = pool = AsyncConnectionPool(
            self._url,
            min_size=1,
            max_size=self._pool_size,
            open=False,
            # An idle hub gives its connections back.
            max_idle=60,
            # The pool's own retries must not outlast a call's patience.
            reconnect_timeout=5,
            kwargs={
                # A host that vanished is noticed, though it says nothing.
                "tcp_user_timeout": 10_000,
                "keepalives_idle": 10,
                "autocommit": True,
                "connect_timeout": 5,
                "options": "-c timezone=UTC",
                "application_name": "exai",
            },
        )
        await pool.open(wait=False)
        return pool

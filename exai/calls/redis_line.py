"""Keeps one connection to Redis: opened at first use, and opened anew in the background whenever it is lost."""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable

from exai.calls.redis_address import RedisAddress
from exai.calls.redis_connection import RedisAway, RedisConnection

logger = logging.getLogger(__name__)

PAUSE_S = 0.25


class RedisLine:
    """`connection` is where commands go: None before the first use, while Redis is away, and in the end.

    `on_return` is called with each connection that is ready after an earlier one, or the attempt at one, failed.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        patience_s: float,
        title: str = "Redis",
        on_return: Callable[[RedisConnection], None] | None = None,
        on_message: Callable[[bytes, bytes], None] | None = None,
    ) -> None:
        self.connection: RedisConnection | None = None
        self.closed = False
        self.losses = 0  # of a connection that was in use
        self._address = address
        self._patience_s = patience_s
        self._title = title
        self._on_return = on_return
        self._on_message = on_message
        self._away_reason: str | None = None
        self._away_since = 0.0
        self._opening: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        return self._away_reason is not None

    def start(self) -> RedisConnection:
        """The connection of the first use, for when `connection` is None. Raises `RedisAway` in all other cases."""
        if self.closed:
            raise RedisAway("the link is closed")
        if self._away_reason is not None:
            raise RedisAway(self._away_reason)
        self.connection = connection = self._new_connection()
        self._open_in_background(connection)
        return connection

    async def close(self) -> None:
        self.closed = True
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)

    def _new_connection(self) -> RedisConnection:
        return RedisConnection(
            self._address, patience_s=self._patience_s, on_lost=self._lost, on_message=self._on_message
        )

    def _open_in_background(self, connection: RedisConnection) -> None:
        # Not in the context of the call that happens to come first.
        self._opening = asyncio.get_running_loop().create_task(self._open(connection), context=contextvars.Context())

    async def _open(self, connection: RedisConnection) -> None:
        while True:
            try:
                await connection.open()
            except RedisAway as error:
                self._note_away(error.reason)
                await asyncio.sleep(PAUSE_S)
                connection = self._new_connection()
            else:
                break
        self._opening = None
        if self.closed:
            return
        if self._away_reason is not None:
            logger.info("%s is back after %.1f s", self._title, time.monotonic() - self._away_since)
            self._away_reason = None
        if self.connection is not connection:
            self.connection = connection
            if self._on_return is not None:
                self._on_return(connection)

    def _lost(self, connection: RedisConnection, reason: str) -> None:
        if connection is not self.connection:
            return  # an attempt that failed
        self.connection = None
        self.losses += 1
        self._note_away(reason)
        if self._opening is None:
            self._open_in_background(self._new_connection())

    def _note_away(self, reason: str) -> None:
        if self._away_reason is None:
            self._away_since = time.monotonic()
        if reason != self._away_reason:
            logger.warning("%s is away: %s", self._title, reason)
        self._away_reason = reason

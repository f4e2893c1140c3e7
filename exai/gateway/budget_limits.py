"""The budgets that there are, as this process knows them: read twice a second while clients are connected."""

import asyncio
import logging
import time
from datetime import datetime
from typing import LiteralString

import msgspec

from exai.calls.budgets import Account
from exai.database import Database, DatabaseAway
from exai.gateway.authentication import AuthenticatedClient
from exai.models import BudgetPeriod

logger = logging.getLogger(__name__)

_PATIENCE_S = 2.0
_STALE_AFTER_S = 1.0
_LONGEST_WAIT_S = 0.25

_READ: LiteralString = """
SELECT client_id, workspace, period,
       min(floor(amount)) FILTER (WHERE unit = 'tokens')::bigint,
       min(floor(amount * 1000000000)) FILTER (WHERE unit = 'usd')::bigint
FROM budgets
GROUP BY client_id, workspace, period
"""


class _Limit(msgspec.Struct, frozen=True):
    period: BudgetPeriod
    tokens: int | None
    nano: int | None


class BudgetLimits:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_subject: dict[int | str, tuple[_Limit, ...]] = {}  # a client's id, or a workspace's name
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def accounts(self, client: AuthenticatedClient, began: datetime) -> tuple[Account, ...]:
        """The accounts that a call of the client, begun then, is charged to. Raises `DatabaseAway`.

        Nothing is waited for, unless what is known is older than a second; and not for long then: a slow database
        does not hold up a call that it has let in.
        """
        if self._read_at is None:
            await self.refresh()
        elif time.monotonic() - self._read_at > _STALE_AFTER_S and not self._database.away:
            await asyncio.wait({self._begin_reading()}, timeout=_LONGEST_WAIT_S)
        if client.id not in self._by_subject and client.workspace not in self._by_subject:
            return ()
        return tuple(
            account
            for subject in (client.id, client.workspace)
            for limit in self._by_subject.get(subject, ())
            for account in [_account(client, subject, limit, began)]
        )

    async def refresh(self) -> None:
        """All who wait at a time wait for one reading. Raises `DatabaseAway`."""
        await asyncio.shield(self._begin_reading())

    def _begin_reading(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_note_failure)
        return self._reading

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            rows = await self._database.fetch(_READ, within_s=_PATIENCE_S)
        except DatabaseAway:
            if self._read_at is None:
                raise
            return  # the last known ones hold, and new calls are soon refused anyway
        by_subject: dict[int | str, tuple[_Limit, ...]] = {}
        for client_id, workspace, period, tokens, nano in rows:
            subject = workspace if client_id is None else client_id
            limit = _Limit(BudgetPeriod(period), tokens, nano)
            by_subject[subject] = (*by_subject.get(subject, ()), limit)
        self._by_subject, self._read_at = by_subject, began


def _note_failure(reading: "asyncio.Task[None]") -> None:
    # Not everyone waits for its end.
    error = None if reading.cancelled() else reading.exception()
    if error is not None:
        logger.warning("The budgets could not be read: %s", type(error).__name__)


def _account(client: AuthenticatedClient, subject: int | str, limit: _Limit, began: datetime) -> Account:
    begins, ends = limit.period.around(began)
    is_client = subject == client.id
    return Account(
        subject=f"client:{client.id}" if is_client else f"workspace:{client.workspace}",
        name=f"client {client.name}" if is_client else f"workspace {client.workspace}",
        period=limit.period.value,
        begins=begins,
        ends=ends,
        tokens=limit.tokens,
        nano=limit.nano,
        client_id=client.id if is_client else None,
        workspace="" if is_client else client.workspace,
    )

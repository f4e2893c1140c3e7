"""The records of calls that added no turn: written beside the answer, not before it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from conversations.models import CallStatus
from conversations.records import EndedCall
from conversations.statements import record_call
from exai.database import Database, DatabaseAway
from exai.gateway.running_call import RunningCall
from exai.protocol.errors import CallAbandoned, CallCancelled, HubError

logger = logging.getLogger(__name__)

_PATIENCE_S = 30.0
_MOST_WAITING = 1000
_LONGEST_MESSAGE = 2000
_LONGEST_TOOL_NAME = 64


def ended_call(call: RunningCall, *, error: HubError | None = None) -> EndedCall:
    """The record of a call as it stands now: a failed one when there is an error."""
    latency = call.latency()
    tool = call.tool_name or call.request.tool_name
    return EndedCall(
        id=call.id,
        client_id=call.request.client.id,
        workspace=call.request.client.workspace,
        request_id=str(call.request.request_id),
        tool=tool[:_LONGEST_TOOL_NAME],
        status=_status(error),
        correlation_id=str(call.id),
        started_at=call.started_at,
        ended_at=datetime.now(UTC),
        conversation_id=call.conversation_id,
        model=call.model,
        provider=call.provider,
        error_code=error.code.value if error else "",
        error_message=error.message[:_LONGEST_MESSAGE] if error else "",
        usage=call.spending.usage,
        cost=call.spending.cost,
        price_version=call.spending.price_version,
        estimated=call.spending.estimated,
        excess=call.spending.excess if call.spending.excess.tokens or call.spending.excess.cost else None,
        queue_ms=latency.queue_ms,
        provider_ms=latency.provider_ms,
        total_ms=latency.latency_ms,
    )


def _status(error: HubError | None) -> CallStatus:
    match error:
        case None:
            return CallStatus.SUCCEEDED
        case CallCancelled():
            return CallStatus.CANCELLED
        case CallAbandoned():
            return CallStatus.ABANDONED
        case _:
            return CallStatus.FAILED


class CallRecords:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: set[asyncio.Task[None]] = set()

    def add(self, call: EndedCall, then: Callable[[], None] | None = None) -> None:
        """Writes the record soon, and calls `then`. While PostgreSQL is away, records beyond a bound are dropped,
        which is logged."""
        if len(self._writing) >= _MOST_WAITING:
            logger.error("the record of call %s is dropped: PostgreSQL is away and too many wait", call.id)
            if then is not None:
                then()
            return
        task = asyncio.create_task(self._write(call, then))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def drain(self, *, within_s: float) -> None:
        if self._writing:
            await asyncio.wait(set(self._writing), timeout=within_s)

    async def _write(self, call: EndedCall, then: Callable[[], None] | None) -> None:
        try:
            await record_call(self._database, call, within_s=_PATIENCE_S)
        except DatabaseAway:
            logger.error("the record of call %s is lost: PostgreSQL was away for too long", call.id)
        except psycopg.Error as error:
            logger.error("PostgreSQL refused the record of call %s: %s", call.id, error.diag.message_primary)
        finally:
            if then is not None:
                then()

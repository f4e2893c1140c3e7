"""Ends the calls of processes that died: recorded as abandoned, their waiters answered."""

import logging
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from conversations.models import CallStatus
from conversations.records import EndedCall
from exai.calls import keys
from exai.calls.budgets import BudgetCounters
from exai.calls.kept_calls import EndedCallState, KeptCalls
from exai.calls.redis_link import RedisLink
from exai.gateway import answers
from exai.gateway.call_records import CallRecords
from exai.gateway.entrance import CallDescription
from exai.protocol.codec import encode
from exai.protocol.errors import CallLost

logger = logging.getLogger(__name__)


class Reaper:
    def __init__(self, *, link: RedisLink, kept: KeptCalls, records: CallRecords, counters: BudgetCounters) -> None:
        self._link = link
        self._counters = counters
        self._kept = kept
        self._records = records

    async def see_to(self, processes: list[str]) -> None:
        """May be repeated: a call is ended once, its record written once. Raises `RedisAway`."""
        for process in processes:
            calls = await self._link.command("HGETALL", keys.running_calls(process))
            for at in range(0, len(calls), 2):
                try:
                    description = msgspec.json.decode(calls[at + 1], type=CallDescription)
                except msgspec.DecodeError:
                    logger.error("a call of another version of the hub was left behind and is dropped")
                    continue
                await self._end(process, calls[at].decode(), description)
            await self._link.command("DEL", keys.running_calls(process))
            await self._link.command("ZREM", keys.PROCESSES, process)
            if calls:
                logger.warning("a web process died; %d calls of it are abandoned", len(calls) // 2)

    async def _end(self, process: str, call_id: str, call: CallDescription) -> None:
        error = CallLost()
        self._records.add(
            EndedCall(
                id=UUID(call_id),
                client_id=call.client_id,
                workspace=call.workspace,
                request_id=str(call.request_id),
                tool=call.tool,
                status=CallStatus.ABANDONED,
                correlation_id=call_id,
                started_at=datetime.fromisoformat(call.started_at),
                ended_at=datetime.now(UTC),
                error_code=error.code.value,
                error_message=error.message,
            )
        )
        ended = EndedCallState(
            id=call_id,
            process=process,
            session=call.session,
            slots=call.slots,
            repeat_key=call.dedup,
            asked_key=call.asked,
            named_key=call.named,
            conversation=call.conversation,
            repeatable=True,
        )
        self._counters.recount(client_id=call.client_id, workspace=call.workspace)
        await self._kept.abandon(ended, encode(answers.failure(call.request_id, call.tool, error)))

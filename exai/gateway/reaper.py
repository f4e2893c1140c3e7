"""Ends the calls of processes that died: recorded as abandoned, their waiters answered."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from conversations.models import CallStatus
from conversations.records import EndedCall
from exai.calls import keys
from exai.calls.budgets import BudgetCounters
from exai.calls.kept_calls import EndedCallState, KeptCalls
from exai.calls.process import Process
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.gateway import answers
from exai.gateway.call_records import CallRecords
from exai.gateway.entrance import CallDescription
from exai.protocol.codec import encode
from exai.protocol.errors import CallLost

logger = logging.getLogger(__name__)


class Reaper:
    def __init__(
        self,
        *,
        link: RedisLink,
        process: Process,
        kept: KeptCalls,
        records: CallRecords,
        counters: BudgetCounters,
    ) -> None:
        self._link = link
        self._process = process
        self._counters = counters
        self._kept = kept
        self._records = records
        self._strays: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    def watch_own(self, runs_here: Callable[[str], bool]) -> None:
        """At every beat of this process: ends what Redis takes for its running calls and is none. That may be left
        behind by an outage that lasted longer than the end of a call is tried for."""

        def look() -> None:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_for_strays(runs_here))

        self._process.on_beat(look)

    async def _look_for_strays(self, runs_here: Callable[[str], bool]) -> None:
        own = keys.running_calls(self._process.id)
        try:
            counted = [key.decode() for key in await self._link.command("HKEYS", own)]
            unknown = {call_id for call_id in counted if not runs_here(call_id)}
            # Seen twice: the end of a call may be under way.
            for call_id in unknown & self._strays:
                described = await self._link.command("HGET", own, call_id)
                if described is not None:
                    logger.error("call %s is over, but counted as running; it is ended", call_id)
                    await self._end_described(self._process.id, call_id, described)
            self._strays = unknown
        except (RedisAway, RedisRefused):
            return  # the next beat tries again

    async def see_to(self, processes: list[str]) -> None:
        """May be repeated: a call is ended once, its record written once. Raises `RedisAway`."""
        for process in processes:
            calls = await self._link.command("HGETALL", keys.running_calls(process))
            for at in range(0, len(calls), 2):
                await self._end_described(process, calls[at].decode(), calls[at + 1])
            # Each call was taken off the list by itself: a process that was only slow may have put new ones there.
            await self._link.command("ZREM", keys.PROCESSES, process)
            if calls:
                logger.warning("a web process died; %d calls of it are abandoned", len(calls) // 2)

    async def _end_described(self, process: str, call_id: str, described: bytes) -> None:
        try:
            description = msgspec.json.decode(described, type=CallDescription)
        except msgspec.DecodeError:
            logger.error("a call of another version of the hub was left behind and is dropped")
            await self._link.command("HDEL", keys.running_calls(process), call_id)
        else:
            await self._end(process, call_id, description)

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

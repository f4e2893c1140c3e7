"""Runs a call from its request to its last frame: the only place that knows the order of things.

check → let in → acknowledge → load the conversation → run the tool → write the turn → answer → give back.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

import psycopg

from conversations.records import ConversationSoFar, NewTurn
from conversations.statements import write_turn
from exai.calls.admission import Admission, KnownCall
from exai.calls.budgets import BudgetCounters
from exai.calls.kept_calls import CallGone, KeptCalls
from exai.calls.redis_link import RedisAway
from exai.database import Database, DatabaseAway
from exai.gateway import answers
from exai.gateway.budget_limits import BudgetLimits
from exai.gateway.call_budget import CallBudget
from exai.gateway.call_clock import CallClock
from exai.gateway.call_records import CallRecords, ended_call
from exai.gateway.checks import CheckedCall, check_call
from exai.gateway.continuation import Continuation
from exai.gateway.endings import Endings
from exai.gateway.entrance import Entrance
from exai.gateway.following import follow_call
from exai.gateway.hub import HubState
from exai.gateway.running_call import Caller, CallRequest, RunningCall
from exai.live_registry.live_registry import LiveRegistry
from exai.protocol.errors import (
    CallAbandoned,
    CallCancelled,
    CallTimeout,
    ErrorCode,
    HubError,
    InternalError,
    ServiceUnavailable,
    TooManyFrames,
)
from exai.protocol.frames import RequestId
from exai.protocol.values import ContinuationOffer
from exai.providers.budget import SEVERAL
from exai.settings.gateway import GatewaySettings
from exai.tools.base import ToolAnswer
from exai.tools.context import ToolContext
from exai.tools.files import Files
from exai.tools.vendors import Vendors

logger = logging.getLogger(__name__)

_LEAST_STORE_TIME_S = 1.0  # for an answer that came with the last breath of its call's timeout
_LAST_WORDS_S = 2.0  # for what is left to say and to write at the end of the process
_NO_ANSWERS = frozenset(
    {ErrorCode.OVER_CAPACITY, ErrorCode.SERVICE_UNAVAILABLE, ErrorCode.CANCELLED, ErrorCode.BUDGET_EXCEEDED}
)


class Executor:
    def __init__(
        self,
        *,
        settings: GatewaySettings,
        database: Database,
        admission: Admission,
        kept: KeptCalls,
        records: CallRecords,
        registry: LiveRegistry,
        limits: BudgetLimits,
        counters: BudgetCounters,
        hub: HubState,
        files: Callable[..., Files],
        vendors: Callable[..., Vendors],
    ) -> None:
        self._settings = settings
        self._database = database
        self._admission = admission
        self._kept = kept
        self._endings = Endings(admission=admission, kept=kept, records=records)
        self._registry = registry
        self._limits = limits
        self._counters = counters
        self._hub = hub
        self._files = files  # of a workspace, with a way to tell what is going on
        self._vendors = vendors  # for a workspace
        self._continuation = Continuation(settings=settings, database=database)
        self._entrance = Entrance(settings=settings, admission=admission)
        self._running: set[asyncio.Task[None]] = set()
        self._calls: dict[str, RunningCall] = {}
        self._out_of_time = False

    def start(self, request: CallRequest, caller: Caller) -> RunningCall:
        """Runs a call on a task of its own; it goes on when the connection is lost."""
        call = RunningCall(
            request,
            caller,
            keep=self._kept.keep,
            heartbeat_s=self._settings.ws_progress_interval_secs,
            timeout_s=self._settings.tool_timeout_secs,
        )
        call.task = asyncio.create_task(self._run(call))
        self._running.add(call.task)
        self._calls[str(call.id)] = call
        call.task.add_done_callback(self._running.discard)
        call.when_done(lambda: self._calls.pop(str(call.id), None))
        call.when_done(call.placed.set)
        return call

    def runs_here(self, call_id: str) -> bool:
        """Whether a call runs in this process, or its end or its record is on its way."""
        return call_id in self._calls or self._endings.are_under_way(call_id)

    def cancel(self, call_id: str) -> bool:
        """Cancels a call of this process; whether it runs here and can be."""
        call = self._calls.get(call_id)
        return call is not None and call.cancel()

    async def cancel_named(self, *, session: str, request_id: RequestId) -> bool:
        """Cancels a session's call of this process, on whichever connection it came."""
        named = [
            call for call in self._calls.values() if call.request.request_id == request_id and call.session == session
        ]
        for call in named:
            await call.placed.wait()
        return any(call.cancel() for call in named if call.attached_to is None)

    async def drain(self, *, within_s: float) -> None:
        """Lets running calls finish, abandons what is left then, and writes what is still to be recorded."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=within_s)
        self._out_of_time = True
        for call in list(self._calls.values()):
            call.stop()
        if self._running:
            await asyncio.wait(set(self._running), timeout=_LAST_WORDS_S)
        await self._endings.drain(within_s=_LAST_WORDS_S)
        await self._counters.drain(within_s=_LAST_WORDS_S)

    async def _run(self, call: RunningCall) -> None:
        self._hub.calls_in_flight += 1
        call.has_begun = True
        try:
            if call.is_stopped:
                raise asyncio.CancelledError
            await self._run_checked(call)
        except HubError as error:
            await self._fail(call, error)
        except asyncio.CancelledError:
            # Cancelled by the client, or at the end of the process: either way the caller hears of it.
            if call.task is not None:
                call.task.uncancel()
            await self._fail(call, CallAbandoned() if self._out_of_time else CallCancelled("The call was cancelled."))
        except Exception:  # whatever a tool or the hub did wrong, the caller is answered
            reference = secrets.token_hex(6)
            logger.exception("call %s failed, reference %s", call.id, reference)
            await self._fail(call, InternalError(reference))
        finally:
            self._hub.calls_in_flight -= 1

    async def _run_checked(self, call: RunningCall) -> None:
        checked, continuation_id = await self._check(call)
        async with AsyncExitStack() as held:
            try:
                await self._entrance.let_in(call, continuation_id, held)
            except KnownCall as known:
                await self._attach(call, known.call_id)
                return
            await call.acknowledge()
            conversation = None
            if continuation_id is not None:
                workspace = call.request.client.workspace
                conversation = await self._continuation.load(continuation_id, workspace=workspace, tool=checked.tool)
                call.conversation_id, call.continuation_id = conversation.id, conversation.continuation_id
            answer, time_left_s = await self._ask_tool(call, checked, conversation)
            call.may_be_cancelled = False  # what is paid for is kept
            offer, stored = await self._keep(call, answer, conversation, time_left_s)
            result = answers.success(
                call.request.request_id,
                call.tool_name,
                answer,
                offer=offer,
                stored=stored,
                cost=call.spending.cost,
                latency=call.latency(),
            )
            last_frames = call.conclude(result)
            self._endings.give_back(call, last_frames[-1], repeatable=False)
        await call.deliver(last_frames)

    async def _check(self, call: RunningCall) -> tuple[CheckedCall, UUID | None]:
        """The call, and the conversation that it continues."""
        try:
            if self._hub.draining:
                raise ServiceUnavailable("The hub is about to stop. Try again in a few seconds.", retry_after=5)
            checked = check_call(call.request, largest_arguments=self._settings.tool_call_max_size)
            if checked.tool.keeps_conversation and self._database.away:
                raise DatabaseAway
            call.tool_name = checked.tool.name
            call.streams = checked.arguments.wants_stream
            return checked, self._continuation.wanted(checked)
        except HubError:
            # A call that goes on pays its token where it is let in.
            await self._admission.take_token(self._entrance.buckets(call))
            raise

    async def _attach(self, call: RunningCall, call_id: str) -> None:
        """Answers a call that was asked before from what is kept of it."""
        here_already = call.caller.is_attached(call_id, call.request.request_id)
        call.attach_to(call_id)
        await call.fall_silent()
        if here_already:
            return  # the frames come to this very connection
        try:
            await follow_call(
                self._kept,
                call_id,
                call.caller,
                request_id=call.request.request_id,
                heartbeat_s=self._settings.ws_progress_interval_secs,
            )
        except (CallGone, RedisAway):
            raise ServiceUnavailable("What was kept of this call is out of reach. Ask again.", retry_after=1) from None

    async def _ask_tool(
        self, call: RunningCall, checked: CheckedCall, conversation: ConversationSoFar | None
    ) -> tuple[ToolAnswer, float]:
        """The answer, and the seconds that are left of the call's time."""
        client = call.request.client
        clock = CallClock(call, timeout_s=self._settings.tool_timeout_secs)
        context = None
        try:
            async with clock, self._registry.lease() as registry:
                context = ToolContext(
                    asker=clock,
                    caller=client,
                    registry=registry,
                    hub=self._hub,
                    earlier_turns=conversation.turns if conversation else (),
                    last_model=conversation.model if conversation else "",
                    progress=call.progress,
                    files=self._files(workspace=client.workspace, allowed=client.may_use_files, progress=call.progress),
                    vendors=self._vendors(workspace=client.workspace, files_allowed=client.may_use_files),
                    emit=call.chunk if call.streams else None,
                    limit=clock,
                    find_budget=partial(self._budget, call),
                    call_id=str(call.id),
                    continuation_id=str(call.continuation_id),
                    continues=conversation is not None,
                    steps=conversation.steps if conversation else (),
                )
                call.spending = context.spending
                answer = await checked.tool.run(checked.arguments, context)
                return answer, clock.left_s
        except TimeoutError:
            if not clock.has_run_out:
                raise
            raise CallTimeout(
                f"The call took longer than {clock.timeout_s:g} seconds and was stopped.", timeout_s=clock.timeout_s
            ) from None
        finally:
            call.queue_s += clock.stood_still_s
            if context is not None:
                call.provider_s = context.provider_seconds - clock.stood_still_s
                call.provider, call.model = context.provider_name, context.model_name

    async def _budget(self, call: RunningCall) -> CallBudget | None:
        if call.budget is None:
            accounts = await self._limits.accounts(call.request.client, call.started_at)
            call.budget = CallBudget(self._counters, str(call.id), accounts) if accounts else None
        return call.budget

    async def _keep(
        self, call: RunningCall, answer: ToolAnswer, conversation: ConversationSoFar | None, time_left_s: float
    ) -> tuple[ContinuationOffer | None, bool]:
        """Makes the answer durable. The offer to go on, and whether it is stored."""
        ended = ended_call(call)
        if answer.turn is None and answer.step is None:
            self._endings.record(call, ended)
            return None, True
        new = NewTurn(
            conversation_id=conversation.id if conversation else None,
            continuation_id=call.continuation_id,
            turn=answer.turn,
            model="" if answer.model == SEVERAL else answer.model,
            provider="" if answer.provider == SEVERAL else answer.provider,
            step=answer.step,
            step_position=conversation.steps_end if conversation else 0,
            reasoning=answer.reasoning,
        )
        try:
            stored = await write_turn(self._database, new, ended, within_s=max(_LEAST_STORE_TIME_S, time_left_s))
        except DatabaseAway:
            stored = False
        except psycopg.Error as error:
            # An answer that is paid for goes out all the same. The error's details may hold what was said.
            logger.error("PostgreSQL refused the turn of call %s: %s", call.id, error.diag.message_primary)
            stored = False
        if not stored and answer.turn is None:
            # Nothing is paid for, and an answer that told to go on from here would not be true.
            raise ServiceUnavailable("The step could not be kept. Send it again.", retry_after=1)
        if not stored:
            logger.error("the answer of call %s could not be stored; it is delivered without", call.id)
            self._endings.record(call, ended)
            return None, False
        call.settle_budget()
        turns = (len(conversation.turns) if conversation else 0) + (answer.turn is not None)
        return self._continuation.offer(new.continuation_id, turns), True

    async def _fail(self, call: RunningCall, error: HubError) -> None:
        call.may_be_cancelled = False
        if call.is_concluded:
            return  # its result is under way
        result = answers.failure(
            call.request.request_id, call.tool_name or call.request.tool_name, error, latency=call.latency()
        )
        # What the rate limits refuse is no call: it must cost next to nothing.
        if call.attached_to is None and not isinstance(error, TooManyFrames):
            self._endings.record(call, ended_call(call, error=error))
        last_frames = call.conclude(result)
        self._endings.give_back(call, last_frames[-1], repeatable=error.code in _NO_ANSWERS)
        await call.deliver(last_frames)

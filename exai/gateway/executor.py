"""Runs a call from its request to its last frame: the only place that knows the order of things.

check → acknowledge → take the conversation's turn → load it → run the tool → write the turn → answer.
"""

import asyncio
import logging
import secrets
import time
from contextlib import AsyncExitStack
from uuid import uuid4

from conversations.records import ConversationSoFar, NewTurn
from conversations.statements import write_turn
from exai.calls.conversation_turn import ConversationTurns
from exai.database import Database, DatabaseAway
from exai.gateway import answers
from exai.gateway.call_records import CallRecords, ended_call
from exai.gateway.checks import CheckedCall, check_call
from exai.gateway.continuation import Continuation
from exai.gateway.hub import HubState
from exai.gateway.running_call import CallRequest, RunningCall, Send
from exai.protocol.errors import CallAbandoned, CallCancelled, CallTimeout, HubError, InternalError, ServiceUnavailable
from exai.protocol.values import ContinuationOffer
from exai.providers.registry import Registry
from exai.settings.gateway import GatewaySettings
from exai.tools.base import ToolAnswer
from exai.tools.context import ToolContext

logger = logging.getLogger(__name__)

_LEAST_STORE_TIME_S = 1.0  # for an answer that came with the last breath of its call's timeout


class Executor:
    def __init__(
        self,
        *,
        settings: GatewaySettings,
        database: Database,
        turns: ConversationTurns,
        registry: Registry,
        hub: HubState,
    ) -> None:
        self._settings = settings
        self._database = database
        self._registry = registry
        self._hub = hub
        self._continuation = Continuation(settings=settings, database=database, turns=turns)
        self._records = CallRecords(database)
        self._running: set[asyncio.Task[None]] = set()
        self._out_of_time = False

    def start(self, request: CallRequest, send: Send) -> RunningCall:
        """Runs a call on a task of its own; it goes on when the connection is lost."""
        call = RunningCall(request, send, heartbeat_s=self._settings.ws_progress_interval_secs)
        call.task = asyncio.create_task(self._run(call))
        self._running.add(call.task)
        call.task.add_done_callback(self._running.discard)
        return call

    async def drain(self, *, within_s: float) -> None:
        """Lets running calls finish, abandons what is left then, and writes what is still to be recorded."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=within_s)
        self._out_of_time = True
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=5)
        await self._records.drain()

    async def _run(self, call: RunningCall) -> None:
        self._hub.calls_in_flight += 1
        try:
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
        if self._hub.draining:
            raise ServiceUnavailable("The hub is about to stop. Try again in a few seconds.", retry_after=5)
        checked = check_call(call.request, largest_arguments=self._settings.tool_call_max_size)
        call.tool_name = checked.tool.name
        call.streams = checked.arguments.wants_stream
        await call.acknowledge(timeout_s=self._settings.tool_timeout_secs)
        async with AsyncExitStack() as held:
            conversation = await self._continuation.take(call, checked, held)
            call.conversation_id = conversation.id if conversation else None
            give_up_at = time.monotonic() + self._settings.tool_timeout_secs
            answer = await self._ask_tool(call, checked, conversation)
            call.may_be_cancelled = False  # what is paid for is kept
            offer, stored = await self._keep(call, answer, conversation, give_up_at - time.monotonic())
        await call.end(
            answers.success(
                call.request.request_id,
                call.tool_name,
                answer,
                offer=offer,
                stored=stored,
                latency=call.latency(),
            )
        )

    async def _ask_tool(
        self, call: RunningCall, checked: CheckedCall, conversation: ConversationSoFar | None
    ) -> ToolAnswer:
        context = ToolContext(
            caller=call.request.client,
            registry=self._registry,
            hub=self._hub,
            earlier_turns=conversation.turns if conversation else (),
            last_model=conversation.model if conversation else "",
            progress=call.progress,
            emit=call.chunk if call.streams else None,
        )
        timeout_s = self._settings.tool_timeout_secs
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                return await checked.tool.run(checked.arguments, context)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise CallTimeout(
                f"The call took longer than {timeout_s:g} seconds and was stopped.", timeout_s=timeout_s
            ) from None
        finally:
            call.provider_s = context.provider_seconds
            call.provider, call.model = context.provider_name, context.model_name

    async def _keep(
        self, call: RunningCall, answer: ToolAnswer, conversation: ConversationSoFar | None, time_left_s: float
    ) -> tuple[ContinuationOffer | None, bool]:
        """Makes the answer durable. The offer to go on, and whether it is stored."""
        ended = ended_call(call, usage=answer.usage)
        if answer.turn is None:
            self._records.add(ended)
            return None, True
        new = NewTurn(
            conversation_id=conversation.id if conversation else None,
            continuation_id=conversation.continuation_id if conversation else uuid4(),
            turn=answer.turn,
            reasoning=answer.reasoning,
        )
        try:
            stored = await write_turn(self._database, new, ended, within_s=max(_LEAST_STORE_TIME_S, time_left_s))
        except DatabaseAway:
            stored = False
        if not stored:
            logger.error("the answer of call %s could not be stored; it is delivered without", call.id)
            return None, False
        return self._continuation.offer(new.continuation_id, len(conversation.turns) if conversation else 0), True

    async def _fail(self, call: RunningCall, error: HubError) -> None:
        call.may_be_cancelled = False
        self._records.add(ended_call(call, error=error))
        await call.end(
            answers.failure(
                call.request.request_id, call.tool_name or call.request.tool_name, error, latency=call.latency()
            )
        )

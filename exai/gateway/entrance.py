"""What a call brings to be let in: its names, its limits, and its place in the queue of its conversation."""

import time
from contextlib import AsyncExitStack
from uuid import UUID

import msgspec

from exai.calls import keys
from exai.calls.admission import WAITING_FOR_CONVERSATION, Admission, AskedCall, conversation_busy
from exai.calls.conversation_queue import ConversationQueue
from exai.calls.limits import Bucket, Slot, frame_buckets
from exai.gateway.authentication import AuthenticatedClient
from exai.gateway.running_call import RunningCall
from exai.settings.gateway import GatewaySettings


class CallDescription(msgspec.Struct):
    """What others need of a running call: to end it should its process die, and to show it."""

    client_id: int
    workspace: str
    request_id: str | int
    tool: str
    started_at: str
    session: str
    slots: tuple[Slot, ...]
    dedup: str
    asked: str
    named: str
    conversation: str


_encoder = msgspec.json.Encoder()


class Entrance:
    def __init__(self, *, settings: GatewaySettings, admission: Admission) -> None:
        self._settings = settings
        self._admission = admission
        self._queue = ConversationQueue()

    def buckets(self, call: RunningCall) -> tuple[Bucket, ...]:
        client = call.request.client
        return frame_buckets(
            self._settings,
            address=call.caller.limited_address,
            session=call.session,
            client_refill=client.frame_rate,
        )

    async def let_in(self, call: RunningCall, continuation_id: UUID | None, held: AsyncExitStack) -> None:
        """Returns once the call may run; it then has its conversation for itself until `held` is closed.

        Raises `KnownCall` or `OverCapacity`.
        """
        asked = call.asked = self._asked(call, continuation_id)
        waiting_since = time.perf_counter()
        try:
            if asked.conversation:
                await self._queue_up(call, asked, held)
            await self._admission.admit(asked, call.wait)
        finally:
            call.queue_s = time.perf_counter() - waiting_since

    async def _queue_up(self, call: RunningCall, asked: AskedCall, held: AsyncExitStack) -> None:
        if self._queue.is_taken(asked.conversation):
            await self._admission.take_down(asked)
            await call.wait(WAITING_FOR_CONVERSATION)
        within_s = self._settings.capacity_wait_secs
        try:
            await held.enter_async_context(self._queue.turn(asked.conversation, within_s=within_s))
        except TimeoutError:
            raise conversation_busy(within_s) from None

    def _asked(self, call: RunningCall, continuation_id: UUID | None) -> AskedCall:
        request, client = call.request, str(call.request.client.id)
        session = call.session
        arguments = msgspec.json.decode(request.arguments)
        conversation = keys.conversation_turn(request.client.workspace, str(continuation_id)) if continuation_id else ""
        repeat_key = keys.repeated_call(client, request.request_id, call.tool_name, arguments)
        asked_key = keys.asked_call(client, call.caller.session_id, call.tool_name, arguments)
        named_key = keys.named_call(session, request.request_id)
        slots = self._slots(request.client, session)
        description = CallDescription(
            client_id=request.client.id,
            workspace=request.client.workspace,
            request_id=request.request_id,
            tool=call.tool_name,
            started_at=call.started_at.isoformat(),
            session=session,
            slots=slots,
            dedup=repeat_key,
            asked=asked_key,
            named=named_key,
            conversation=conversation,
        )
        return AskedCall(
            id=str(call.id),
            session=session,
            connection=call.caller.id,
            repeat_key=repeat_key,
            asked_key=asked_key,
            named_key=named_key,
            conversation=conversation,
            slots=slots,
            buckets=self.buckets(call),
            description=_encoder.encode(description),
        )

    def _slots(self, client: AuthenticatedClient, session: str) -> tuple[Slot, ...]:
        per_session = client.session_max_inflight or self._settings.session_max_inflight
        slots: tuple[Slot, ...] = (
            Slot(keys.GLOBAL_SLOTS, self._settings.global_max_inflight),
            Slot(keys.session_slots(session), per_session),
        )
        if client.max_inflight:
            slots += (Slot(keys.client_slots(str(client.id)), client.max_inflight),)
        return slots

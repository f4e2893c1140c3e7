"""Letting calls in: the frame's tokens, dedup, the conversation and the slots, in one round trip to Redis.

A call that finds no slot waits for one; the slots that come free go around the sessions (lua/slots.lua). While Redis
is away, half of the limits hold in each process by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from exai.calls import keys, scripts
from exai.calls.limits import Bucket, Slot
from exai.calls.local_limits import LocalBuckets, LocalSlots
from exai.calls.process import HeldByCall, Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink
from exai.calls.waiting import Grant, Grants
from exai.protocol.errors import OverCapacity, TooManyFrames

_CONVERSATION_POLL_S = 0.02
_LONGEST_CONVERSATION_POLL_S = 0.25

OnWait = Callable[[str], Awaitable[None]]
WAITING_FOR_CAPACITY = "Waiting for capacity"
WAITING_FOR_CONVERSATION = "Waiting for another call on this conversation"


class Standing(Enum):
    """Where a call is counted, and so where it is to be given back."""

    OUTSIDE = "nowhere"
    COUNTED = "in Redis"
    COUNTED_HERE = "in this process, for Redis was away"


class AskedCall(msgspec.Struct, kw_only=True):
    """A call that wants in. `session` names the client, too. `slots`: the pool's first. `conversation` empty: it
    continues none."""

    id: str
    session: str
    connection: str
    repeat_key: str
    asked_key: str
    named_key: str
    conversation: str
    slots: tuple[Slot, ...]
    buckets: tuple[Bucket, ...]
    description: bytes  # what the reaper needs, should this process die
    standing: Standing = Standing.OUTSIDE
    waited: bool = False  # it may stand in the queue for a slot
    was_sent: bool = False  # Redis knows of it, or may get to know: the reply got lost
    is_taken_down: bool = False  # it does, and others find the call there


class KnownCall(Exception):
    """The call was asked before: what is kept of that one answers this."""

    def __init__(self, call_id: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id


class Admission:
    def __init__(
        self,
        link: RedisLink,
        process: Process,
        grants: Grants,
        *,
        longest_wait_s: float,
        most_waiting: int,
        retention_s: float,
        call_timeout_s: float,
    ) -> None:
        self._link = link
        self._process = process
        self._grants = grants
        self._longest_wait_s = longest_wait_s
        self._most_waiting = most_waiting
        # For its conversation, for its slot and its provider's, and for the answer.
        self._longest_ms = round((3 * longest_wait_s + 2 * call_timeout_s + retention_s) * 1000)
        self._local_buckets = LocalBuckets()
        self._local_slots = LocalSlots()

    async def take_token(self, buckets: tuple[Bucket, ...]) -> None:
        """For a frame that is no call. Raises `OverCapacity`."""
        try:
            refused = await self._link.script(scripts.FRAME, [], _bucket_arguments(buckets))
        except RedisAway:
            if limited := self._local_buckets.take(buckets):
                raise _over_rate(*limited) from None
        else:
            if refused:
                raise _over_rate(refused[0].decode(), refused[1] / 1000)

    async def take_down(self, call: AskedCall) -> None:
        """For a call that has to queue behind another of this process: takes the frame's tokens, and lets others find
        it. Raises `KnownCall` when it need not queue, for it was asked before, or `OverCapacity`."""
        await self._process.start()
        try:
            await self._ask_once(call, only_take_down=True)
        except RedisAway:
            self._take_local_token(call)

    async def admit(self, call: AskedCall, on_wait: OnWait) -> None:
        """Returns once the call may run; how it stands then is in `call.standing`, also when it does not come that far.

        Raises `KnownCall` or `OverCapacity`.
        """
        await self._process.start()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._longest_wait_s
        try:
            with self._grants.expected(call.id):
                waits = await self._ask(call, on_wait)
                self._local_buckets.forget()
                call.standing = Standing.COUNTED
                self._process.calls[call.id] = HeldByCall(call.id, [] if waits else _keys(call), call.conversation)
                if waits:
                    give_up_at = loop.time() + self._longest_wait_s
                    await on_wait(WAITING_FOR_CAPACITY)
                    await self._wait_for_grant(call, give_up_at)
                    self._process.calls[call.id].slots = _keys(call)
        except RedisAway:
            self._take_local_token(call)
            await self._take_local_slots(call, on_wait, within_s=give_up_at - loop.time())
            call.standing = Standing.COUNTED_HERE

    def give_back_here(self, call: AskedCall) -> None:
        """Gives back what was counted in this process alone."""
        self._local_slots.give_back(call.slots)

    async def _ask_once(self, call: AskedCall, *, only_take_down: bool = False) -> bytes:
        """`run`, `wait` or `conversation` (another call has it). Raises `KnownCall` or `OverCapacity`."""
        call.was_sent |= not self._link.away
        call.waited = True  # until the reply, which may never come, says that it does not
        stage = "again" if call.is_taken_down else "queue" if only_take_down else "new"
        answer = await self._link.script(scripts.ADMIT, [], self._described(call, stage))
        call.was_sent = call.is_taken_down
        if answer[0] == b"limited":
            call.was_sent = False  # nothing is kept of it
            raise _over_rate(answer[1].decode(), answer[2] / 1000)
        call.buckets = ()  # the frame has its token
        if answer[0] == b"known":
            raise KnownCall(answer[1].decode())
        call.was_sent = call.is_taken_down = True
        call.waited = answer[0] == b"wait"
        if answer[0] == b"full":
            raise _over_capacity(await self._grants.retry_after_s(keys.GLOBAL_SLOTS))
        return bytes(answer[0])

    async def _ask(self, call: AskedCall, on_wait: OnWait) -> bool:
        """Whether the call has to wait for a slot."""
        loop = asyncio.get_running_loop()
        give_up_at, pause_s = loop.time() + self._longest_wait_s, _CONVERSATION_POLL_S
        while (standing := await self._ask_once(call)) == b"conversation":
            # Another call has the conversation, in another process: its end is not announced.
            if loop.time() + pause_s > give_up_at:
                raise conversation_busy(self._longest_wait_s)
            if pause_s == _CONVERSATION_POLL_S:
                await on_wait(WAITING_FOR_CONVERSATION)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_CONVERSATION_POLL_S)
        return standing == b"wait"

    async def _wait_for_grant(self, call: AskedCall, give_up_at: float) -> None:
        try:
            while await self._grants.wait(call.slots[0].key, call.id, give_up_at=give_up_at) is Grant.FORGOTTEN:
                if await self._ask_once(call) == b"run":
                    return
        except TimeoutError:
            raise _over_capacity(await self._grants.retry_after_s(keys.GLOBAL_SLOTS)) from None

    def _take_local_token(self, call: AskedCall) -> None:
        if refused := self._local_buckets.take(call.buckets):
            raise _over_rate(*refused)
        call.buckets = ()

    async def _take_local_slots(self, call: AskedCall, on_wait: OnWait, *, within_s: float) -> None:
        if self._local_slots.try_take(call.slots):
            return
        await on_wait(WAITING_FOR_CAPACITY)
        try:
            await self._local_slots.wait(call.slots, within_s=within_s)
        except TimeoutError:
            raise _over_capacity(1) from None

    def _described(self, call: AskedCall, stage: str) -> list[Part]:
        """The call in the order in which lua/admit.lua reads it."""
        return [
            *_bucket_arguments(call.buckets),
            *(call.id, self._process.id, call.session, *slot_arguments(call.slots)),
            *(self._process.lease_ms, self._longest_ms, self._most_waiting),
            *(call.repeat_key, call.asked_key, call.named_key, call.connection),
            *(call.conversation, stage, call.description),
        ]


def conversation_busy(waited_s: float) -> OverCapacity:
    return OverCapacity(
        "Another call on this conversation is still running. Wait for its answer, or begin a new conversation "
        "by leaving continuation_id out.",
        reason="conversation_busy",
        retry_after=max(1, round(waited_s)),
    )


def slot_arguments(slots: tuple[Slot, ...]) -> list[Part]:
    """Slots as lua/slots.lua reads them."""
    arguments: list[Part] = [len(slots)]
    for slot in slots:
        arguments += (slot.key, slot.most)
    return arguments


def _keys(call: AskedCall) -> list[str]:
    return [slot.key for slot in call.slots]


def _bucket_arguments(buckets: tuple[Bucket, ...]) -> list[Part]:
    arguments: list[Part] = [len(buckets)]
    for bucket in buckets:
        arguments += (bucket.key, bucket.capacity, bucket.refill)
    return arguments


def _over_rate(bucket: str, wait_s: float) -> TooManyFrames:
    scope = bucket.split(":")[2]
    whose = {"all": "the hub", "session": "this session", "address": "this address"}[scope]
    return TooManyFrames(
        f"Too many frames for {whose}. Try again in {max(0.001, wait_s):.3g} seconds.",
        reason=f"rate_{scope}",
        retry_after=round(max(0.001, wait_s), 3),
    )


def _over_capacity(retry_after_s: int) -> OverCapacity:
    return OverCapacity(
        f"All places for calls are taken and stayed so. Try again in {retry_after_s} seconds.",
        reason="calls_in_flight",
        retry_after=retry_after_s,
    )

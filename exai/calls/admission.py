"""Letting calls in: the frame's tokens, dedup, the conversation and the slots, in one round trip to Redis.

A call that finds no slot waits for one; the slots that come free go around the sessions (lua/slots.lua). While Redis
is away, half of the limits hold in each process by itself.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from exai.calls import keys, scripts
from exai.calls.limits import Bucket, CallLimits
from exai.calls.local_limits import LocalBuckets, LocalSlots
from exai.calls.process import HeldByCall, Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink
from exai.protocol.errors import OverCapacity

_POLL_S = 1.0  # for a grant whose message got lost
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
    """A call that wants in. `session` names the client, too. `conversation` empty: it continues none."""

    id: str
    client: str
    session: str
    connection: str
    repeat_key: str
    asked_key: str
    named_key: str
    conversation: str
    limits: CallLimits
    buckets: tuple[Bucket, ...]
    description: bytes  # what the reaper needs, should this process die
    standing: Standing = Standing.OUTSIDE
    waited: bool = False
    was_sent: bool = False  # Redis may count it, even if the reply got lost


class KnownCall(Exception):
    """The call was asked before: what is kept of that one answers this."""

    def __init__(self, call_id: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id


class Admission:
    def __init__(
        self, link: RedisLink, process: Process, *, longest_wait_s: float, retention_s: float, call_timeout_s: float
    ) -> None:
        self._link = link
        self._process = process
        self._longest_wait_s = longest_wait_s
        self._longest_ms = round((longest_wait_s + 2 * call_timeout_s + retention_s) * 1000)
        self._granted: dict[str, asyncio.Future[None]] = {}
        self._local_buckets = LocalBuckets()
        self._local_slots = LocalSlots()
        process.on("granted", self._on_granted)

    async def take_token(self, buckets: tuple[Bucket, ...]) -> None:
        """For a frame that is no call. Raises `OverCapacity`."""
        try:
            refused = await self._link.script(scripts.FRAME, [], _bucket_arguments(buckets))
        except RedisAway:
            self._take_local_token(buckets)
        else:
            if refused:
                raise _over_rate(refused[0].decode(), refused[1] / 1000)

    async def look_for_known(self, call: AskedCall) -> None:
        """For a call that has to queue behind another of this process: takes the frame's tokens, and raises
        `KnownCall` when it need not queue, for it was asked before."""
        await self._process.start()
        try:
            await self._ask_once(call, call.buckets, only_known=True)
        except RedisAway:
            self._take_local_token(call.buckets)
        call.buckets = ()

    async def admit(self, call: AskedCall, on_wait: OnWait) -> None:
        """Returns once the call may run; how it stands then is in `call.standing`, also when it does not come that far.

        Raises `KnownCall` or `OverCapacity`.
        """
        await self._process.start()
        try:
            waits = await self._ask(call, on_wait)
        except RedisAway:
            self._take_local_token(call.buckets)
            await self._take_local_slot(call, on_wait)
            call.standing = Standing.COUNTED_HERE
            return
        self._local_buckets.forget()
        call.standing, call.waited = Standing.COUNTED, waits
        self._process.calls[call.id] = HeldByCall(call.id, [] if waits else _slots(call), call.conversation)
        if waits:
            await self._wait_for_grant(call, on_wait)
            self._process.calls[call.id].slots = _slots(call)

    def give_back_here(self, call: AskedCall) -> None:
        """Gives back what was counted in this process alone."""
        self._local_slots.give_back(call.session)

    async def _ask_once(self, call: AskedCall, buckets: tuple[Bucket, ...], *, only_known: bool = False) -> bytes:
        """`run`, `wait` or `conversation` (another call has it). Raises `KnownCall` or `OverCapacity`."""
        call.was_sent = call.was_sent or not only_known
        arguments = [*_bucket_arguments(buckets), *self._described(call, only_known=only_known)]
        answer = await self._link.script(scripts.ADMIT, [], arguments)
        if answer[0] == b"known":
            raise KnownCall(answer[1].decode())
        if answer[0] == b"limited":
            raise _over_rate(answer[1].decode(), answer[2] / 1000)
        return bytes(answer[0])

    async def _ask(self, call: AskedCall, on_wait: OnWait) -> bool:
        """Whether the call has to wait for a slot."""
        loop = asyncio.get_running_loop()
        give_up_at, pause_s, buckets = loop.time() + self._longest_wait_s, _CONVERSATION_POLL_S, call.buckets
        while True:
            standing = await self._ask_once(call, buckets)
            if standing != b"conversation":
                return standing == b"wait"
            # Another call has the conversation, in another process: its end is not announced.
            if loop.time() + pause_s > give_up_at:
                raise conversation_busy(self._longest_wait_s)
            if pause_s == _CONVERSATION_POLL_S:
                await on_wait(WAITING_FOR_CONVERSATION)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_CONVERSATION_POLL_S)
            buckets = ()  # the frame has its token

    async def _wait_for_grant(self, call: AskedCall, on_wait: OnWait) -> None:
        loop = asyncio.get_running_loop()
        granted = self._granted[call.id] = loop.create_future()
        give_up_at = loop.time() + self._longest_wait_s
        try:
            await on_wait(WAITING_FOR_CAPACITY)
            while not granted.done():
                left_s = give_up_at - loop.time()
                if left_s <= 0:
                    raise await self._over_capacity()
                await asyncio.wait({granted}, timeout=min(_POLL_S, left_s))
                if not granted.done() and await self._has_slot(call):
                    return
        finally:
            del self._granted[call.id]

    async def _has_slot(self, call: AskedCall) -> bool:
        try:
            if await self._link.command("HEXISTS", keys.WAITING_CALLS, call.id):
                return False
            return await self._link.command("ZSCORE", keys.GLOBAL_SLOTS, call.id) is not None
        except RedisAway:
            return False

    async def _over_capacity(self) -> OverCapacity:
        held_ms, waiting, running = 1000.0, 1, 1
        try:
            held_ms = float(await self._link.command("GET", f"{keys.PREFIX}slots:held_ms") or 1000)
            waiting = int(await self._link.command("HLEN", keys.WAITING_CALLS))
            running = max(1, int(await self._link.command("ZCARD", keys.GLOBAL_SLOTS)))
        except RedisAway:
            pass
        # As long as those that wait need to get their turn, by how long calls lately took.
        return _over_capacity(math.ceil(held_ms / 1000 * (1 + waiting / running)))

    def _on_granted(self, call_id: str) -> None:
        granted = self._granted.get(call_id)
        if granted is not None and not granted.done():
            granted.set_result(None)

    def _take_local_token(self, buckets: tuple[Bucket, ...]) -> None:
        if refused := self._local_buckets.take(buckets):
            raise _over_rate(*refused)

    async def _take_local_slot(self, call: AskedCall, on_wait: OnWait) -> None:
        if self._local_slots.try_take(call.session, call.limits):
            return
        await on_wait(WAITING_FOR_CAPACITY)
        try:
            await self._local_slots.wait(call.session, call.limits, within_s=self._longest_wait_s)
        except TimeoutError:
            raise _over_capacity(1) from None

    def _described(self, call: AskedCall, *, only_known: bool) -> list[Part]:
        """The call in the order in which lua/admit.lua reads it."""
        limits = call.limits
        return [
            *(call.id, self._process.id, call.session, call.client),
            *(limits.all, limits.session, limits.client),
            *(self._process.lease_ms, self._longest_ms),
            *(call.repeat_key, call.asked_key, call.named_key, call.connection),
            *(call.conversation, int(only_known), call.description),
        ]


def conversation_busy(waited_s: float) -> OverCapacity:
    return OverCapacity(
        "Another call on this conversation is still running. Wait for its answer, or begin a new conversation "
        "by leaving continuation_id out.",
        reason="conversation_busy",
        retry_after=max(1, round(waited_s)),
    )


def _slots(call: AskedCall) -> list[str]:
    slots = [keys.GLOBAL_SLOTS, keys.session_slots(call.session)]
    return [*slots, keys.client_slots(call.client)] if call.limits.client else slots


def _bucket_arguments(buckets: tuple[Bucket, ...]) -> list[Part]:
    arguments: list[Part] = [len(buckets)]
    for bucket in buckets:
        arguments += (bucket.key, bucket.capacity, bucket.refill)
    return arguments


def _over_rate(bucket: str, wait_s: float) -> OverCapacity:
    scope = bucket.split(":")[2]
    whose = {"all": "the hub", "session": "this session", "address": "this address"}[scope]
    return OverCapacity(
        f"Too many frames for {whose}. Try again in {max(0.001, wait_s):.3g} seconds.",
        reason=f"rate_{scope}",
        retry_after=round(max(0.001, wait_s), 3),
    )


def _over_capacity(retry_after_s: int) -> OverCapacity:
    return OverCapacity(
        f"All places for calls are taken and stayed so. Try again in {retry_after_s} seconds.",
        reason="calls_in_flight",
        retry_after=max(1, retry_after_s),
    )

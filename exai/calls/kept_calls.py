"""What is kept of calls in Redis: their frames while they run, their results for a while after.

Any web process can answer from it for a caller that lost its connection, or asks again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

import msgspec

from exai.calls import keys, scripts
from exai.calls.admission import AskedCall, slot_arguments
from exai.calls.limits import Slot
from exai.calls.process import Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.calls.unkept_frames import UnkeptFrames

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
_FOLLOW_POLL_S = 0.02
_LONGEST_FOLLOW_POLL_S = 0.2


class CallGone(Exception):
    """Nothing is kept of the call."""


class EndedCallState(msgspec.Struct, kw_only=True):
    """What the script needs to end a call. `waited` may be true when it is not known."""

    id: str
    process: str
    session: str
    slots: tuple[Slot, ...]
    connection: str = ""
    repeat_key: str
    asked_key: str
    named_key: str
    conversation: str
    repeatable: bool
    stays_listed: bool = False
    waited: bool = True
    held_ms: int = 0


class KeptCalls:
    def __init__(self, link: RedisLink, process: Process, *, retention_s: float, most_bytes: int) -> None:
        self._link = link
        self._process = process
        self._retention_ms = round(retention_s * 1000)
        self._most_bytes = most_bytes
        self._unkept = UnkeptFrames(link, retention_ms=self._retention_ms)
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._evicting: asyncio.Task[None] | None = None
        process.on_beat(self._unkept.confirm)
        process.on_beat(self._begin_to_evict)

    def keep(self, call_id: str, frame: str) -> None:
        """Keeps a frame of a running call. Frames of some milliseconds go out together."""
        self._unkept.add(call_id, frame)

    def finish(
        self, call: AskedCall, result: str, *, repeatable: bool, held_s: float, stays_listed: bool = False
    ) -> None:
        """Ends a call that was counted in Redis: gives back its slots, keeps its result.

        `repeatable`: the result is no answer, and a repeat of the request runs anew. `stays_listed`: until `unlist`,
        so that another process sees to it should this one die.
        """
        self._process.calls.pop(call.id, None)
        ended = EndedCallState(
            id=call.id,
            process=self._process.id,
            session=call.session,
            slots=call.slots,
            waited=call.waited,
            connection=call.connection,
            repeat_key=call.repeat_key,
            asked_key=call.asked_key,
            named_key=call.named_key,
            conversation=call.conversation,
            repeatable=repeatable,
            stays_listed=stays_listed,
            held_ms=round(held_s * 1000),
        )
        task = asyncio.create_task(self._finish(ended, result))
        self._ending[call.id] = task
        task.add_done_callback(lambda _: self._ending.pop(call.id, None))

    def unlist(self, call_id: str) -> None:
        """Nothing is left to be done for the call."""
        self._link.send("HDEL", keys.running_calls(self._process.id), call_id)

    def is_ending(self, call_id: str) -> bool:
        return call_id in self._ending

    def forget(self, call_id: str) -> None:
        """Drops the frames of a call that never was let in."""
        self._unkept.forget(call_id)

    def deliver(self, call_id: str) -> None:
        """The caller has the result of the call."""
        self._link.send_script(scripts.DELIVER, [], [call_id])

    async def drain(self, *, within_s: float) -> None:
        if self._ending:
            await asyncio.wait(set(self._ending.values()), timeout=within_s)

    async def named(self, *, session: str, request_id: str | int) -> str | None:
        """The id of the call that a session means by a request_id. Raises `RedisAway`."""
        found = await self._link.command("GET", keys.named_call(session, request_id))
        return found.decode() if found else None

    async def owner(self, call_id: str) -> str | None:
        """The process that runs the call; None when it has ended. Raises `RedisAway`."""
        state, process = await self._link.command("HMGET", keys.call_state(call_id), "state", "process")
        return process.decode() if state == b"running" and process else None

    async def running(self) -> AsyncGenerator[tuple[str, str, bytes], None]:
        """Process, id and description of every running call. Raises `RedisAway`."""
        for process in await self._link.command("ZRANGE", keys.PROCESSES, 0, -1):
            reply = await self._link.command("HGETALL", keys.running_calls(process.decode()))
            for at in range(0, len(reply), 2):
                yield process.decode(), reply[at].decode(), reply[at + 1]

    async def follow(self, call_id: str, *, while_wanted: Callable[[], bool]) -> AsyncGenerator[str, None]:
        """The frames of a call from its first to its last, as they come, for as long as they are wanted.

        Raises `CallGone` or `RedisAway`.
        """
        seen, pause_s = "0", _FOLLOW_POLL_S
        while while_wanted():
            answer = await self._link.script(scripts.FOLLOW, [], [call_id, seen])
            if not answer:
                raise CallGone
            state, entries, last, result, there_is_more = answer
            for entry_id, fields in entries:
                seen, pause_s = entry_id.decode(), _FOLLOW_POLL_S
                for frame in fields[1].decode().split("\n"):
                    yield frame
            if there_is_more:
                continue
            if state == b"ended":
                for frame in last.decode().split("\n") if last else ():
                    yield frame
                yield result.decode()
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _LONGEST_FOLLOW_POLL_S)

    async def abandon(self, ended: EndedCallState, result: str) -> None:
        """Ends a call of a dead process for it. Raises `RedisAway`."""
        await self._link.script(scripts.FINISH, [], self._arguments(ended, result, []))

    async def _finish(self, ended: EndedCallState, result: str) -> None:
        frames = self._unkept.last(ended.id)
        while True:
            try:
                await self._link.script(scripts.FINISH, [], self._arguments(ended, result, frames), lazily=True)
            except RedisAway:
                # However long that takes: a repeat would follow a call that never ends. They are few, for of those that
                # came after the loss Redis does not know.
                frames = self._unkept.unconfirmed(ended.id)
                await asyncio.sleep(_RETRY_S)
                continue
            except RedisRefused:
                logger.exception("Redis refused the end of a call")
            self._unkept.forget(ended.id)
            return

    def _arguments(self, ended: EndedCallState, result: str, frames: list[tuple[str, str]]) -> list[Part]:
        """The call in the order in which lua/finish.lua reads it."""
        arguments: list[Part] = [
            *(ended.id, ended.process, ended.session, *slot_arguments(ended.slots)),
            *(int(ended.waited), self._process.lease_ms, self._retention_ms),
            *(ended.repeat_key, ended.asked_key, ended.named_key, ended.conversation, ended.connection),
            *(int(ended.repeatable), int(ended.stays_listed), ended.held_ms, result, len(frames)),
        ]
        for place, text in frames:
            arguments += (place, text)
        return arguments

    def _begin_to_evict(self) -> None:
        if self._evicting is None or self._evicting.done():
            self._evicting = asyncio.create_task(self._evict())

    async def _evict(self) -> None:
        try:
            while await self._link.script(scripts.EVICT, [], [self._retention_ms, self._most_bytes]):
                pass
        except (RedisAway, RedisRefused):
            return  # the next beat tries again

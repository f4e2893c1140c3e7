"""What is kept of calls in Redis: their frames while they run, their results for a while after.

Any web process can answer from it for a caller that lost its connection, or asks again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

import msgspec

from exai.calls import keys, scripts
from exai.calls.admission import AskedCall
from exai.calls.process import Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused

logger = logging.getLogger(__name__)

_FLUSH_S = 0.025  # most calls end sooner, and then need no writing of their own
_RETRY_S = 0.5
_FOLLOW_POLL_S = 0.02
_LONGEST_FOLLOW_POLL_S = 0.2


class CallGone(Exception):
    """Nothing is kept of the call."""


class EndedCallState(msgspec.Struct, kw_only=True):
    """What the script needs to end a call. `has_client_slot` and `waited` may be true when they are not known."""

    id: str
    process: str
    session: str
    client: str
    repeat_key: str
    asked_key: str
    named_key: str
    conversation: str
    repeatable: bool
    has_client_slot: bool = True
    waited: bool = True
    held_ms: int = 0
    kept_bytes: int = 0


class KeptCalls:
    def __init__(self, link: RedisLink, process: Process, *, retention_s: float, most_bytes: int) -> None:
        self._link = link
        self._process = process
        self._retention_ms = round(retention_s * 1000)
        self._most_bytes = most_bytes
        self._pending: dict[str, list[str]] = {}
        self._kept_bytes: dict[str, int] = {}
        self._flushing: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        process.on_beat(self._evict)

    def keep(self, call_id: str, frame: str) -> None:
        """Keeps a frame of a running call. Frames of some milliseconds go out together."""
        self._pending.setdefault(call_id, []).append(frame)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush)

    def finish(self, call: AskedCall, result: str, *, repeatable: bool, held_s: float) -> None:
        """Ends a call that was counted in Redis: gives back its slots, keeps its result.

        `repeatable`: the result is no answer, and a repeat of the request runs anew.
        """
        self._process.calls.pop(call.id, None)
        frames = "\n".join(self._pending.pop(call.id, ()))
        ended = EndedCallState(
            id=call.id,
            process=self._process.id,
            session=call.session,
            client=call.client,
            has_client_slot=call.limits.client > 0,
            waited=call.waited,
            repeat_key=call.repeat_key,
            asked_key=call.asked_key,
            named_key=call.named_key,
            conversation=call.conversation,
            repeatable=repeatable,
            held_ms=round(held_s * 1000),
            kept_bytes=self._kept_bytes.pop(call.id, 0),
        )
        task = asyncio.create_task(self._finish(self._arguments(ended, frames, result)))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def forget(self, call_id: str) -> None:
        """Drops the frames of a call that never was let in."""
        self._pending.pop(call_id, None)
        if self._kept_bytes.pop(call_id, None):
            self._link.send("DEL", keys.call_frames(call_id))

    def deliver(self, call_id: str) -> None:
        """The caller has the result of the call."""
        self._link.send_script(scripts.DELIVER, [], [call_id])

    async def drain(self, *, within_s: float) -> None:
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=within_s)

    async def named(self, *, client: str, session: str, request_id: str | int) -> str | None:
        """The id of a client's call by the client's name for it: of this session, else of the one session that has it.

        Raises `RedisAway`.
        """
        reply = await self._link.command("HGETALL", keys.named_calls(client, request_id))
        calls = {reply[at]: reply[at + 1] for at in range(0, len(reply), 2)}
        found = calls.get(session.encode()) or (next(iter(calls.values())) if len(calls) == 1 else None)
        return found.decode() if found else None

    async def owner(self, call_id: str) -> str | None:
        """The process that runs the call; None when it has ended. Raises `RedisAway`."""
        state, process = await self._link.command("HMGET", keys.call_state(call_id), "state", "process")
        return process.decode() if state == b"running" and process else None

    async def follow(self, call_id: str) -> AsyncGenerator[str, None]:
        """The frames of a call from its first to its last, as they come. Raises `CallGone` or `RedisAway`."""
        seen, pause_s = "0", _FOLLOW_POLL_S
        while True:
            answer = await self._link.script(scripts.FOLLOW, [], [call_id, seen])
            if not answer:
                raise CallGone
            state, _, result, entries = answer
            for entry_id, fields in entries:
                seen, pause_s = entry_id.decode(), _FOLLOW_POLL_S
                for frame in fields[1].decode().split("\n"):
                    yield frame
            if state == b"ended":
                yield result.decode()
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _LONGEST_FOLLOW_POLL_S)

    async def abandon(self, ended: "EndedCallState", result: str) -> None:
        """Ends a call of a dead process for it. Raises `RedisAway`."""
        await self._link.script(scripts.FINISH, [], self._arguments(ended, "", result))

    def _arguments(self, ended: "EndedCallState", frames: str, result: str) -> list[Part]:
        """The call in the order in which lua/finish.lua reads it."""
        return [
            *(ended.id, ended.process, ended.session, ended.client),
            *(int(ended.has_client_slot), int(ended.waited), self._process.lease_ms, self._retention_ms),
            *(ended.repeat_key, ended.asked_key, ended.named_key, ended.conversation),
            *(int(ended.repeatable), ended.held_ms, ended.kept_bytes),
            *(frames, result),
        ]

    def _flush(self) -> None:
        self._flushing = None
        for call_id, frames in self._pending.items():
            joined = "\n".join(frames)
            self._link.send("XADD", keys.call_frames(call_id), "*", "f", joined)
            if call_id not in self._kept_bytes:
                # Should everything die now, this goes by itself.
                self._link.send("PEXPIRE", keys.call_frames(call_id), self._retention_ms * 4)
            self._kept_bytes[call_id] = self._kept_bytes.get(call_id, 0) + len(joined)
        self._pending.clear()

    async def _finish(self, arguments: list[Part]) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._retention_ms / 1000
        while loop.time() < give_up_at:
            try:
                await self._link.script(scripts.FINISH, [], arguments, lazily=True)
                return
            except RedisAway:
                await asyncio.sleep(_RETRY_S)
            except RedisRefused:
                logger.exception("Redis refused the end of a call")
                return

    def _evict(self) -> None:
        self._link.send_script(scripts.EVICT, [], [self._retention_ms, self._most_bytes])

"""Frames of running calls on their way to Redis: written in batches, and again after an outage.

Each batch has a place of its own in the call's stream, so that one that is written twice stands there once. What was
written before a beat of the process began is there once the beat has succeeded: both go over one connection.
"""

import asyncio
from dataclasses import dataclass, field

from exai.calls import scripts
from exai.calls.redis_link import RedisLink

_FLUSH_S = 0.025  # most calls end sooner, and then need no writing of their own
_AWAY_S = 0.25


@dataclass
class _CallFrames:
    fresh: list[str] = field(default_factory=list)
    batches: int = 0
    before_last_beat: list[tuple[str, str]] = field(default_factory=list)
    since_last_beat: list[tuple[str, str]] = field(default_factory=list)

    def next_batch(self) -> tuple[str, str]:
        self.batches += 1
        batch = (f"{self.batches}-0", "\n".join(self.fresh))
        self.fresh = []
        return batch


class UnkeptFrames:
    def __init__(self, link: RedisLink, *, retention_ms: int) -> None:
        self._link = link
        # Should everything die at once, what was written goes by itself.
        self._expiry_ms = retention_ms * 4
        self._calls: dict[str, _CallFrames] = {}
        self._fresh: set[str] = set()
        self._flushing: asyncio.TimerHandle | None = None
        self._losses = link.losses

    def add(self, call_id: str, frame: str) -> None:
        call = self._calls.get(call_id)
        if call is None:
            call = self._calls[call_id] = _CallFrames()
        call.fresh.append(frame)
        self._fresh.add(call_id)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush)

    def last(self, call_id: str) -> list[tuple[str, str]]:
        """What has not been written yet, or was sent over a connection that broke, as places and texts: to be written
        with the end of the call."""
        call = self._calls.get(call_id)
        self._fresh.discard(call_id)
        if call is None:
            return []
        if call.fresh:
            call.since_last_beat.append(call.next_batch())
            if self._losses == self._link.losses:
                return call.since_last_beat[-1:]
        return self.unconfirmed(call_id) if self._losses != self._link.losses else []

    def unconfirmed(self, call_id: str) -> list[tuple[str, str]]:
        """What may not have been written, in order."""
        call = self._calls.get(call_id)
        return [*call.before_last_beat, *call.since_last_beat] if call else []

    def forget(self, call_id: str) -> None:
        self._fresh.discard(call_id)
        self._calls.pop(call_id, None)

    def confirm(self) -> None:
        """A beat of the process has succeeded."""
        if self._write_again_after_loss():
            return
        for call in self._calls.values():
            if call.since_last_beat or call.before_last_beat:
                call.before_last_beat, call.since_last_beat = call.since_last_beat, []

    def _flush(self) -> None:
        if self._link.away:
            self._flushing = asyncio.get_running_loop().call_later(_AWAY_S, self._flush)
            return
        self._flushing = None
        self._write_again_after_loss()
        for call_id in self._fresh:
            call = self._calls[call_id]
            batch = call.next_batch()
            call.since_last_beat.append(batch)
            self._write(call_id, batch)
        self._fresh.clear()

    def _write_again_after_loss(self) -> bool:
        if self._losses == self._link.losses:
            return False
        self._losses = self._link.losses
        for call_id in self._calls:
            for batch in self.unconfirmed(call_id):
                self._write(call_id, batch)
        return True

    def _write(self, call_id: str, batch: tuple[str, str]) -> None:
        self._link.send_script(scripts.KEEP, [], [call_id, self._expiry_ms, *batch])

"""Answering from what is kept of a call: for a caller that lost its connection, or asks again."""

import time
from contextlib import aclosing

import msgspec

from exai.calls.kept_calls import KeptCalls
from exai.gateway.heartbeat import Heartbeat
from exai.gateway.running_call import Caller
from exai.protocol.codec import encode
from exai.protocol.frames import Progress, RequestId


class _Kept(msgspec.Struct):
    op: str
    name: str = ""
    index: int = -1
    request_id: RequestId | None = None


_frames = msgspec.json.Decoder(_Kept)
_RESUMED = frozenset({"stream_chunk", "stream_complete", "call_tool_res"})


async def follow_call(
    kept: KeptCalls,
    call_id: str,
    caller: Caller,
    *,
    request_id: RequestId,
    heartbeat_s: float,
    after: int | None = None,
) -> None:
    """Sends the frames of a call as they were and as they come, under `request_id`, until its result or until the
    connection is gone.

    `after`: index of the last chunk that the caller has; it then gets the later chunks and the end only.
    Raises `CallGone` or `RedisAway`.
    """
    name = ""

    async def beat() -> None:
        await caller.send_text(encode(Progress(request_id=request_id, name=name, t=time.time())))

    heartbeat = Heartbeat(beat, interval_s=heartbeat_s)
    heartbeat.start()
    try:
        async with aclosing(kept.follow(call_id, while_wanted=lambda: caller.is_open)) as texts:
            async for text in texts:
                if not caller.is_open:
                    return
                frame = _frames.decode(text)
                name = frame.name or name
                if after is not None and not _is_missed(frame, after):
                    continue
                if frame.op == "call_tool_res":
                    await heartbeat.stop()
                await caller.send_text(text if frame.request_id == request_id else _renamed(text, request_id))
                if frame.op == "call_tool_res":
                    caller.await_delivery(call_id)
    finally:
        await heartbeat.stop()


def _is_missed(frame: _Kept, after: int) -> bool:
    return frame.op in _RESUMED and not (frame.op == "stream_chunk" and frame.index <= after)


def _renamed(text: str, request_id: RequestId) -> str:
    frame = msgspec.json.decode(text)
    frame["request_id"] = request_id
    return msgspec.json.encode(frame).decode()

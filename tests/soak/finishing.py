"""The end of a schedule: what is under way is waited for, what was lost is fetched, what is held is given back."""

import asyncio
import time
from typing import Any, Literal

import msgspec

from exai.calls import keys
from tests.soak.asked import CANCELLABLE, Ask, SoakCall
from tests.soak.schedule import Schedule

_PATIENCE_S = 25.0
_LOOK_EVERY_S = 0.1
_CANCEL_EVERY_S = 0.5


class CallDescription(msgspec.Struct):
    """What a running call tells of itself in Redis, as far as it matters here (exai.gateway.entrance has it all)."""

    client_id: int
    request_id: str | int
    session: str


async def finish(schedule: Schedule) -> None:
    """Every caller that stays gets its end; a call that nobody heard the end of is resumed,
    or repeated when nobody even heard its beginning."""
    schedule.note("the end")
    await schedule.cluster.complete()
    for call in schedule.calls:
        if call.kind == CANCELLABLE:
            await _cancel(schedule, call)
    await _until_all_ended(schedule)
    for call in schedule.calls:
        if not call.results:
            await _fetch(schedule, call)
    await _until_all_ended(schedule)
    await _until_nothing_runs(schedule)
    await schedule.stop_checking()
    for connection in schedule.connections:
        if connection.unexpected:
            schedule.complaints.append(f"frames that nobody asked for: {connection.unexpected[:3]}")
        if connection.state == "broken" and connection.hub in schedule.cluster.hubs:
            schedule.complaints.append(f"a living process closed a connection of {connection.speaker}")


async def close(schedule: Schedule) -> None:
    await asyncio.gather(*(connection.drop(politely=False) for connection in schedule.connections))


async def _fetch(schedule: Schedule, call: SoakCall) -> None:
    for request_id in call.request_ids:
        connection = await schedule.connect(call.speaker, schedule.cluster.hubs[0])
        if connection is not None:
            op: Literal["resume", "repeat"] = "resume" if request_id in call.acknowledged else "repeat"
            await connection.ask(request_id, Ask(op, call, -1, schedule.maybe_delivered(call)))


async def _until_all_ended(schedule: Schedule) -> None:
    deadline, cancel_at = time.monotonic() + _PATIENCE_S, 0.0
    while waiting := _waiting(schedule):
        if time.monotonic() > deadline:
            schedule.complaints += [f"never answered: request_id {request_id}, {call}" for request_id, call in waiting]
            return
        if time.monotonic() > cancel_at:
            cancel_at = time.monotonic() + _CANCEL_EVERY_S
            for _, call in waiting:
                if call.kind == CANCELLABLE:
                    await _cancel(schedule, call)
        await asyncio.sleep(_LOOK_EVERY_S)


def _waiting(schedule: Schedule) -> list[tuple[int, SoakCall]]:
    """Where something was asked on a connection that stays, and has no end."""
    return [
        (request_id, asks[0].call)
        for connection in schedule.connections
        if connection.is_open
        for request_id, asks in connection.asks.items()
        if connection.ended(request_id) == 0 or (asks[-1].op == "resume" and connection.carries(request_id))
    ]


async def _until_nothing_runs(schedule: Schedule) -> None:
    """What was dropped and runs on by itself ends, too, and gives all back."""
    deadline, cancel_at = time.monotonic() + _PATIENCE_S, 0.0
    while held := still_held(schedule):
        if time.monotonic() > deadline:
            schedule.complaints += [f"still held: {name}" for name in held]
            return
        if time.monotonic() > cancel_at:
            cancel_at = time.monotonic() + _CANCEL_EVERY_S
            for description in running(schedule):
                for call in schedule.calls:
                    is_it = description.session == f"{call.speaker.client_id}:{call.speaker.session}"
                    if is_it and description.request_id in call.request_ids and call.kind == CANCELLABLE:
                        await _cancel(schedule, call)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _cancel(schedule: Schedule, call: SoakCall) -> None:
    connections = schedule.open_connections(call.speaker)
    connection = connections[0] if connections else await schedule.connect(call.speaker, schedule.cluster.hubs[0])
    if connection is not None:
        for request_id in call.request_ids:
            await schedule.cancel(connection, call, request_id)


def running(schedule: Schedule) -> list[CallDescription]:
    """Calls of the schedule's clients that count as running, in whichever process."""
    clients = {speaker.client_id for speaker in schedule.speakers}
    redis = schedule.cluster.redis
    described: list[str] = []
    for key in redis.scan_iter(keys.running_calls("*")):
        values: Any = redis.hvals(key)
        described += values
    calls = [msgspec.json.decode(text, type=CallDescription) for text in described]
    return [call for call in calls if call.client_id in clients]


def still_held(schedule: Schedule) -> list[str]:
    """What the schedule's clients hold in Redis, in words."""
    redis, now_ms = schedule.cluster.redis, time.time() * 1000
    held = [f"call {call.request_id} of {call.session} runs" for call in running(schedule)]
    for speaker in schedule.speakers:
        session = f"{speaker.client_id}:{speaker.session}"
        for key in (keys.session_slots(session), keys.client_slots(str(speaker.client_id))):
            if redis.zcount(key, now_ms, "+inf"):
                held.append(f"a slot of {key}")
        if redis.exists(f"{keys.GLOBAL_SLOTS}:queue:{session}"):
            held.append(f"a place in the queue of {session}")
        if next(iter(redis.scan_iter(keys.conversation_turn(speaker.client, "*"))), None):
            held.append(f"a conversation of {speaker.client}")
    return held

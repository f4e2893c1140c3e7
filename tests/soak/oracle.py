"""What must be true of a schedule once it is over. Every breach is a sentence."""

import json
import re
from collections import Counter
from typing import Any

import msgspec

from tests.soak.asked import CANCELLABLE, FAILING, Ask, Frame, SoakCall
from tests.soak.connection import SoakConnection
from tests.soak.schedule import Schedule

_SECRET = re.compile(r"secret-of-[\w-]+\.")
_MARKER = re.compile(r"marker (\S+) ")
_STATUS = {
    "CANCELLED": "cancelled",
    "PROVIDER_ERROR": "failed",
    "OVER_CAPACITY": "failed",
    "INTERNAL_ERROR": "abandoned",
}


def breaches(schedule: Schedule, asked_upstream: Counter[str]) -> list[str]:
    """`asked_upstream`: how often each marker came to the upstream."""
    found = list(schedule.complaints)
    for connection in schedule.connections:
        found += _foreign_secrets(connection)
        for request_id, asks in connection.asks.items():
            found += _badly_answered(schedule, connection, request_id, asks)
    for call in schedule.calls:
        found += _wrong_results(schedule, call)
        found += _run_too_often(schedule, call, asked_upstream[call.marker])
        found += _badly_recorded(schedule, call)
    return [*found, *_half_turns(schedule)]


def marker_of(body: Any) -> str:
    """Which call a request at the upstream belongs to."""
    match = _MARKER.search(str(body["messages"][-1]["content"]))
    return match[1] if match else ""


def _foreign_secrets(connection: SoakConnection) -> list[str]:
    text = json.dumps([*connection.frames.values(), connection.unexpected])
    foreign = set(_SECRET.findall(text)) - {connection.speaker.secret}
    return [f"{connection.speaker.client} got what belongs to {other}" for other in foreign]


def _badly_answered(schedule: Schedule, connection: SoakConnection, request_id: int, asks: list[Ask]) -> list[str]:
    where, call = f"request_id {request_id} of {asks[0].call}", asks[0].call
    sequences, rest = _sequences(connection.frames.get(request_id, []))
    found = []
    # A repeat where the call itself still runs may be answered by the call's own result.
    absorbed = sum(ask.op == "repeat" for ask in asks[1:])
    if connection.is_open and not len(asks) - absorbed <= len(sequences) <= len(asks):
        found.append(f"{len(sequences)} ends for {len(asks)} asks: {where}")
    if connection.is_open and rest:
        found.append(f"frames after the last: {[frame['op'] for frame in rest]}, {where}")
    for place, frames in enumerate(sequences):
        ask = asks[min(place, len(asks) - 1)]
        # Beside a resume of the same request_id a repeat gets what that gets.
        partly = ask.op == "repeat" and any(other.op == "resume" for other in asks)
        found += [f"{breach}: {ask.op}, {where}" for breach in _broken_sequence(schedule, call, ask, frames, partly)]
    return found


def _sequences(frames: list[Frame]) -> tuple[list[list[Frame]], list[Frame]]:
    """Cut after each end; and what follows the last end."""
    sequences, current = [], []
    for frame in frames:
        current.append(frame)
        if frame["op"] in ("call_tool_res", "error"):
            sequences.append(current)
            current = []
    return sequences, current


def _broken_sequence(schedule: Schedule, call: SoakCall, ask: Ask, frames: list[Frame], partly: bool) -> list[str]:
    *before, last = frames
    ops = [frame["op"] for frame in before if frame["op"] != "progress"]
    if last["op"] == "error":
        return [f"an error instead of a result ({last['error']})"]
    found = []
    if ops.count("call_tool_ack") > 1 or ("call_tool_ack" in ops and frames[0]["op"] != "call_tool_ack"):
        found.append(f"acknowledged twice or late {ops}")
    if ask.op == "call" and "call_tool_ack" not in ops and last["ok"]:
        found.append("not acknowledged")
    indexes = [frame["index"] for frame in before if frame["op"] == "stream_chunk"]
    first = indexes[0] if partly and indexes else ask.after + 1
    if not call.streams:
        return [*found, "chunks that nobody asked for"] if indexes else found
    if indexes != list(range(first, first + len(indexes))):
        found.append(f"chunks with gaps or doubles {indexes} after {ask.after}")
    elif last["ok"]:
        text = "".join(frame["chunk"] for frame in before if frame["op"] == "stream_chunk")
        content = msgspec.json.decode(last["outputs"][0]["text"])["content"]
        complete = content == text if first == 0 else content.endswith(text)
        # What was delivered before is not kept; but who has been given a part of it gets all of it.
        is_gone = not ops and (ask.maybe_delivered or schedule.maybe_delivered(call))
        if not (is_gone or partly or (complete and ops[-1:] == ["stream_complete"])):
            found.append(f"chunks {indexes} are not the content of {len(content)} characters, {ops[-1:]}")
    return found


def _wrong_results(schedule: Schedule, call: SoakCall) -> list[str]:
    killed = call.killed(schedule.cluster.died_at)
    allowed = set()
    if call.kind in FAILING:
        allowed.add("PROVIDER_ERROR")
    elif call.kind != CANCELLABLE:
        allowed.add("ok")
    if call.cancelled:
        allowed.add("CANCELLED")
    if killed:
        allowed.add("INTERNAL_ERROR")
    found = []
    for result in call.results:
        outcome = "ok" if result["ok"] else result["error"]["code"]
        if outcome not in allowed:
            found.append(f"ended with {outcome} {result.get('error')}, allowed {sorted(allowed)}: {call}")
        envelope = json.loads(result["outputs"][0]["text"])
        if result["ok"] and envelope["content"] != f"You said: {call.prompt}":
            found.append(f"another answer ({envelope['content'][:80]}): {call}")
    if not call.results and call.call_ids:
        found.append(f"its answer is lost: {call}")
    different = {json.dumps([result["outputs"], result.get("error")], sort_keys=True) for result in call.results}
    most = call.times_asked if call.cancelled or killed else call.runs_allowed
    most += killed  # its own caller may have had the answer that died with the process before it was kept
    if len(different) > most:
        found.append(f"{len(different)} different ends: {call}: {sorted(different)}")
    return found


def _run_too_often(schedule: Schedule, call: SoakCall, runs: int) -> list[str]:
    disturbed = call.cancelled or call.killed(schedule.cluster.died_at)
    allowed = call.times_asked if disturbed else call.runs_allowed
    if runs > allowed:
        return [f"asked {runs} times at the upstream, {allowed} allowed: {call}"]
    if runs == 0 and any(result["ok"] for result in call.results):
        return [f"answered without the upstream: {call}"]
    return []


def _badly_recorded(schedule: Schedule, call: SoakCall) -> list[str]:
    rows = schedule.cluster.database.execute(
        "SELECT id::text, status, ended_at IS NOT NULL FROM tool_calls WHERE id::text = ANY(%s)", (list(call.call_ids),)
    ).fetchall()
    if len(rows) != len(call.call_ids):
        unrecorded = call.call_ids - {id_ for id_, _, _ in rows}
        died = [pid for pid in call.asked_at if pid in schedule.cluster.died_at]
        return [f"no records for {unrecorded}, processes {list(call.asked_at)}, of which died {died}: {call}"]
    if not all(has_ended for _, _, has_ended in rows):
        return [f"recorded as running: {call}"]
    outcomes = {"succeeded" if result["ok"] else _STATUS[result["error"]["code"]] for result in call.results}
    if call.cancelled:
        outcomes.add("cancelled")  # of a run whose end nobody heard
        if call.times_asked > 1:
            outcomes.add("failed" if call.kind in FAILING else "succeeded")  # of the run after it, likewise
    # A process that died may have written the record and no answer.
    if call.results and not call.killed(schedule.cluster.died_at) and not outcomes >= {status for _, status, _ in rows}:
        return [f"recorded as {[status for _, status, _ in rows]}, answered as {outcomes}: {call}"]
    return []


def _half_turns(schedule: Schedule) -> list[str]:
    rows = schedule.cluster.database.execute(
        "SELECT c.id, (SELECT count(*) FROM messages m WHERE m.conversation_id = c.id),"
        " (SELECT count(*) FROM tool_calls t WHERE t.conversation_id = c.id AND t.status = 'succeeded')"
        " FROM conversations c WHERE c.client_id = ANY(%s)",
        ([speaker.client_id for speaker in schedule.speakers],),
    ).fetchall()
    return [
        f"conversation {id_} has {said} messages for {calls} calls" for id_, said, calls in rows if said != 2 * calls
    ]

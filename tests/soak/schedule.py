"""Takes the steps of a schedule one after the other; what they set going goes on meanwhile."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import aiohttp

from exai.calls import keys
from tests.hub import RunningHub
from tests.soak.asked import CANCELLABLE, KINDS, Ask, SoakCall, Speaker
from tests.soak.cluster import Cluster
from tests.soak.connection import SoakConnection
from tests.soak.steps import Step

_MOST_CONNECTIONS = 3  # of a session
_NOTICED_WITHIN_S = 8.0
_CANCELLED_WITHIN_S = 5.0
Picked = TypeVar("Picked")
NO_HUB = (OSError, EOFError, TimeoutError, aiohttp.ClientError)


class Schedule:
    """Three clients, one of them with two sessions; all four count alike."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self.cluster = cluster
        self.speakers = [
            *cluster.make_client("one", "two"),
            *cluster.make_client("one"),
            *cluster.make_client("one"),
        ]
        self.connections: list[SoakConnection] = []
        self.calls: list[SoakCall] = []
        self.complaints: list[str] = []
        self.taken: list[str] = []
        self._counts: dict[Speaker, int] = {}
        self._checking: list[asyncio.Task[None]] = []
        self._cancelling: list[tuple[str, int, asyncio.Future[bool]]] = []

    async def take(self, steps: Sequence[Step]) -> None:
        deeds: dict[str, Callable[[Step], Awaitable[str | None]]] = {
            "connect": self._connect,
            "call": self._call,
            "cancel at once": self._cancel_at_once,
            "drop": self._drop,
            "resume": self._resume,
            "repeat": self._repeat,
            "re-ask": self._re_ask,
            "cancel": self._cancel,
            "ping": self._ping,
            "kill": self._kill,
        }
        for step in steps:
            self.note(f"{step.deed}: {await deeds[step.deed](step) or 'nothing to do'}")
            await asyncio.sleep(step.pause_s)

    def note(self, text: str) -> None:
        self.taken.append(f"{time.monotonic():.3f} {text}")

    async def connect(self, speaker: Speaker, hub: RunningHub) -> SoakConnection | None:
        """None when that process has just died."""
        connection = SoakConnection(speaker, hub)
        try:
            await connection.open()
        except NO_HUB as error:
            if hub in self.cluster.hubs:
                self.complaints.append(f"a connection to a living process failed: {error!r}")
            return None
        self.connections.append(connection)
        return connection

    def open_connections(self, speaker: Speaker) -> list[SoakConnection]:
        return [connection for connection in self.connections if connection.is_open and connection.speaker == speaker]

    async def cancel(self, connection: SoakConnection, call: SoakCall, request_id: int) -> None:
        """Whichever calls the hub may take it for may be cancelled from now on."""
        for other in self.calls:
            if other.speaker.client == call.speaker.client and request_id in other.request_ids:
                other.cancelled = True
        answer = await connection.cancel(request_id)
        self._cancelling.append((call.speaker.client, request_id, answer))
        self._checking.append(asyncio.create_task(self._check_cancel(answer, connection, call)))

    async def stop_checking(self) -> None:
        await asyncio.gather(*self._checking)

    async def _connect(self, step: Step) -> str | None:
        speaker = _pick(self.speakers, step.picks[0])
        if len(self.open_connections(speaker)) >= _MOST_CONNECTIONS:
            return None
        connection = await self.connect(speaker, _pick(self.cluster.hubs, step.picks[1]))
        return str(connection and connection.speaker)

    async def _call(self, step: Step) -> str | None:
        started = await self._start(step)
        return started and str(started[1])

    async def _cancel_at_once(self, step: Step) -> str | None:
        started = await self._start(step)
        if started is None:
            return None
        connection, call = started
        await self.cancel(connection, call, call.request_ids[0])
        return str(call)

    async def _start(self, step: Step) -> tuple[SoakConnection, SoakCall] | None:
        speaker = _pick(self.speakers, step.picks[0])
        connection = await self._connection_of(speaker, step.picks[1])
        if connection is None:
            return None
        kind = _pick(KINDS, step.picks[2])
        marker = f"{self.name}-{len(self.calls)}"
        # In words of every length, so that chunks are cut at other places each time.
        prompt = f"marker {marker} {speaker.secret} {'Grüße 你好 🙂 ' * (1 + len(self.calls) % 5)}end"
        call = SoakCall(speaker, marker, kind, {"prompt": prompt, "model": kind})
        if step.picks[3] < 0.6:
            call.arguments["stream"] = True
        if step.picks[3] * 10 % 1 < 0.4 and (continuation_id := self._continuation(speaker)):
            call.arguments["continuation_id"] = continuation_id
        self.calls.append(call)
        await connection.ask(self._name(call), Ask("call", call, -1, False))
        return connection, call

    async def _drop(self, step: Step) -> str | None:
        dropped = _pick_any([connection for connection in self.connections if connection.is_open], step.picks[0])
        if dropped is None:
            return None
        await dropped.drop(politely=step.picks[1] < 0.4)
        return f"{dropped.speaker.client}:{dropped.speaker.session}"

    async def _resume(self, step: Step) -> str | None:
        # Of what was not acknowledged the hub may know nothing, yet or ever.
        call = _pick_any([call for call in self.calls if call.acknowledged], step.picks[0])
        if call is None:
            return None
        request_id = _pick(sorted(call.acknowledged), step.picks[3])
        connection = await self._free_connection(call, request_id, step.picks[1])
        if connection is None:
            return None
        after = _pick((-1, -1, 0, 1, 5), step.picks[2])
        await connection.ask(
            request_id, Ask("resume", call, -1 if after is None else after, self.maybe_delivered(call))
        )
        return f"{call} after {after}"

    async def _repeat(self, step: Step) -> str | None:
        call = _pick_any(self.calls, step.picks[0])
        if call is None:
            return None
        request_id = _pick(call.request_ids, step.picks[3])
        # Where the call itself still runs, or where nothing of that request_id is under way.
        own = [
            connection
            for connection in self.open_connections(call.speaker)
            if connection.carries(request_id) and [ask.op for ask in connection.asks[request_id]] == ["call"]
        ]
        connection = own[0] if own else await self._free_connection(call, request_id, step.picks[1])
        if connection is None:
            return None
        await connection.ask(request_id, Ask("repeat", call, -1, self.maybe_delivered(call)))
        return str(call)

    async def _re_ask(self, step: Step) -> str | None:
        lost = [call for call in self.calls if not any(ask.call is call for ask in self._live_asks()) and call.call_ids]
        call = _pick_any(lost, step.picks[0])
        if call is None or (call.kind == CANCELLABLE and not call.cancelled and step.picks[2] < 0.5):
            return None
        await self._until_hub_has_noticed(call)
        connection = await self._connection_of(call.speaker, step.picks[1])
        if connection is None:
            return None
        delivered = self.maybe_delivered(call)
        if delivered:
            call.runs_allowed += 1
        await connection.ask(self._name(call), Ask("re-ask", call, -1, delivered))
        return f"{call}, maybe delivered: {delivered}"

    async def _cancel(self, step: Step) -> str | None:
        call = _pick_any(self.calls, step.picks[0])
        if call is None:
            return None
        same_client = [
            connection
            for connection in self.connections
            if connection.is_open and connection.speaker.client == call.speaker.client
        ]
        connection = _pick_any(same_client, step.picks[1])
        if connection is None:
            return None
        await self.cancel(connection, call, _pick(call.request_ids, step.picks[2]))
        return f"{call} from {connection.speaker.session}"

    async def _ping(self, step: Step) -> str | None:
        connection = _pick_any([connection for connection in self.connections if connection.is_open], step.picks[0])
        if connection is None:
            return None
        await connection.send({"op": "ping"})
        return f"{connection.speaker.client}:{connection.speaker.session}"

    async def _kill(self, step: Step) -> str | None:
        hub = _pick(self.cluster.hubs, step.picks[0])
        return f"process {hub.pid}" if await self.cluster.kill(hub) else None

    async def _check_cancel(self, answer: asyncio.Future[bool], connection: SoakConnection, call: SoakCall) -> None:
        await asyncio.wait({answer}, timeout=_CANCELLED_WITHIN_S)
        if connection.is_open and not answer.done():
            self.complaints.append(f"a cancel was not answered: {call}")

    async def _connection_of(self, speaker: Speaker, pick: float) -> SoakConnection | None:
        there = _pick_any(self.open_connections(speaker), pick)
        return there or await self.connect(speaker, _pick(self.cluster.hubs, pick))

    async def _free_connection(self, call: SoakCall, request_id: int, pick: float) -> SoakConnection | None:
        """One of the call's session on which nothing of this request_id is under way; perhaps a new one."""
        free = [connection for connection in self.open_connections(call.speaker) if not connection.carries(request_id)]
        if free and pick < 0.4:
            return free[0]
        return await self.connect(call.speaker, _pick(self.cluster.hubs, pick))

    async def _until_hub_has_noticed(self, call: SoakCall) -> None:
        """Waits until the connection by which the call came counts as lost: only then a new id means the same call."""
        speaker = call.speaker
        asked = keys.asked_call(str(speaker.client_id), speaker.session, "chat", call.arguments)
        deadline = time.monotonic() + _NOTICED_WITHIN_S
        while time.monotonic() < deadline:
            connection = str(self.cluster.redis.get(asked) or "").partition(" ")[2]
            ends = connection and self.cluster.redis.zscore(f"{keys.PREFIX}connections", connection)
            if not isinstance(ends, float) or ends <= time.time() * 1000:
                return
            await asyncio.sleep(0.02)
        self.complaints.append(f"a lost connection still counts as connected: {call}")

    def maybe_delivered(self, call: SoakCall) -> bool:
        return any(
            ask.call is call and connection.may_have_delivered(request_id)
            for connection in self.connections
            for request_id, asks in connection.asks.items()
            for ask in asks
        )

    def _live_asks(self) -> list[Ask]:
        return [
            ask
            for connection in self.connections
            if connection.is_open
            for asks in connection.asks.values()
            for ask in asks
        ]

    def _continuation(self, speaker: Speaker) -> str | None:
        """Of the first answer that the session has got."""
        for call in self.calls:
            if call.speaker == speaker:
                for result in call.results:
                    offer = json.loads(result["outputs"][0]["text"]).get("continuation_offer")
                    if offer:
                        return str(offer["continuation_id"])
        return None

    def _name(self, call: SoakCall) -> int:
        """A new request_id for it. A cancel of that id that is under way, on another connection, may mean it, too."""
        self._counts[call.speaker] = self._counts.get(call.speaker, 0) + 1
        request_id = self._counts[call.speaker]
        call.request_ids.append(request_id)
        call.cancelled |= any(
            (client, cancelled) == (call.speaker.client, request_id) and not answer.done()
            for client, cancelled, answer in self._cancelling
        )
        return request_id


def _pick(among: Sequence[Picked], pick: float) -> Picked:
    return among[int(pick * len(among))]


def _pick_any(among: Sequence[Picked], pick: float) -> Picked | None:
    return _pick(among, pick) if among else None

"""A session that calls without pause, loses its connection now and then, and wants every answer all the same."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

import aiohttp

from tests.hub import RunningHub
from tests.soak.asked import Frame, Speaker

ANSWER_WITHIN_S = 30.0
_RECONNECT_EVERY_S = 0.1
_RETRYABLE = ("SERVICE_UNAVAILABLE", "OVER_CAPACITY")


@dataclass
class Tally:
    """What became of the calls. `lost` were not answered in time, `wrong` got what was not theirs or not whole."""

    asked: int = 0
    answered: int = 0
    lost: int = 0
    wrong: int = 0
    drops: int = 0
    resumes: int = 0
    repeats: int = 0
    re_asks: int = 0
    not_found: int = 0
    refused: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def complain(self, what: str, text: str) -> None:
        of_its_kind = self.examples.setdefault(what, [])
        if len(of_its_kind) < 5:
            of_its_kind.append(text)


class _Pending:
    def __init__(self, arguments: Frame) -> None:
        self.arguments = arguments
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chunks: list[str] = []
        self.indexes: list[int] = []
        self.undisturbed = True


class Agent:
    def __init__(self, speaker: Speaker, hubs: list[RunningHub], tally: Tally, chance: random.Random) -> None:
        self._speaker = speaker
        self._hubs = hubs
        self._tally = tally
        self._chance = chance
        self._pending: dict[int, _Pending] = {}
        self._count = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        hub = self._chance.choice(self._hubs)
        self._http = aiohttp.ClientSession()
        socket = await self._http.ws_connect(hub.ws_url, max_msg_size=0)
        await socket.send_json({"op": "hello", "session_id": self._speaker.session, "token": self._speaker.token})
        hello = await socket.receive_json()
        if not hello["ok"]:
            raise EOFError("the hub refused the token")
        self._socket = socket
        self._reading = asyncio.create_task(self._read(socket))
        self._reading.add_done_callback(self._note_failure)

    async def call(self) -> None:
        """Asks, and sees to it that the answer comes."""
        number = self._name()
        prompt = (
            f"marker {self._speaker.client}-{self._speaker.session}-{number} {self._speaker.secret} " + "word " * 20
        )
        arguments: Frame = {"prompt": prompt, "model": self._chance.choice(("fast", "fast", "trickling"))}
        if self._chance.random() < 0.5:
            arguments["stream"] = True
        pending = self._pending[number] = _Pending(arguments)
        self._tally.asked += 1
        await self._ask(number, pending)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await pending.done
        except TimeoutError:
            self._tally.lost += 1
            self._tally.complain("no answer", f"{prompt[:80]}, lost its connection: {not pending.undisturbed}")
            # Whoever gave up asks no more: else a moment of overload would never end.
            self._pending = {number: other for number, other in self._pending.items() if other is not pending}

    async def drop(self) -> None:
        """Loses the connection without a word, comes back elsewhere, and asks for what is missing."""
        if self._socket is None:
            return
        self._tally.drops += 1
        await self.close()
        while True:
            try:
                async with asyncio.timeout(5):
                    await self.connect()
                break
            except (OSError, EOFError, TimeoutError, aiohttp.ClientError):
                await asyncio.sleep(_RECONNECT_EVERY_S)
        for number, pending in list(self._pending.items()):
            pending.undisturbed = False
            if number in self._pending:  # it may have been answered since
                await self._ask_again(number, pending)

    async def close(self) -> None:
        self._socket = None
        if self._reading is not None:
            self._reading.cancel()
        if self._http is not None:
            await self._http.close()

    async def _ask(self, number: int, pending: _Pending) -> None:
        await self._send({"op": "call_tool", "request_id": number, "name": "chat", "arguments": pending.arguments})

    async def _ask_later(self, number: int, pending: _Pending, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if self._pending.get(number) is pending:
            await self._ask(number, pending)

    async def _ask_again(self, number: int, pending: _Pending) -> None:
        way = self._chance.random()
        if way < 0.6:
            self._tally.resumes += 1
            await self._send({"op": "resume", "request_id": number, "after": len(pending.chunks) - 1})
        elif way < 0.8:
            self._tally.repeats += 1
            await self._ask(number, pending)
        else:
            self._tally.re_asks += 1
            del self._pending[number]
            number = self._name()
            self._pending[number] = pending
            await self._ask(number, pending)

    async def _send(self, frame: Frame) -> None:
        if self._socket is None:
            return  # whoever reconnects asks again
        try:
            await self._socket.send_json(frame)
        except (OSError, aiohttp.ClientError):
            return

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._take(json.loads(message.data))
        if self._socket is socket:
            self._tally.complain("a connection closed by the hub", str(socket.close_code))
            self._reading = None
            await self.drop()

    def _note_failure(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled() and (error := reading.exception()):
            self._tally.complain("a reader that failed", repr(error))

    async def _take(self, frame: Frame) -> None:
        number = frame.get("request_id")
        pending = self._pending.get(number) if isinstance(number, int) else None
        if pending is None or not isinstance(number, int):
            return
        if frame["op"] == "stream_chunk":
            pending.chunks.append(frame["chunk"])
            pending.indexes.append(frame["index"])
        elif frame["op"] == "error" and frame["error"]["code"] == "NOT_FOUND":
            self._tally.not_found += 1  # the frame went down with its connection
            await self._ask(number, pending)
        elif not frame.get("ok") and frame.get("error", {}).get("code") in _RETRYABLE:
            self._tally.refused += 1
            wait_s = float(frame["error"].get("details", {}).get("retry_after", 1))
            asking = asyncio.create_task(self._ask_later(number, pending, wait_s))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        elif frame["op"] in ("call_tool_res", "error"):
            del self._pending[number]
            if not pending.done.done():
                self._judge(frame, pending)
                pending.done.set_result(None)

    def _judge(self, frame: Frame, pending: _Pending) -> None:
        content = json.loads(frame["outputs"][0]["text"])["content"] if frame["op"] == "call_tool_res" else ""
        right = frame.get("ok") and content == f"You said: {pending.arguments['prompt']}"
        whole = not (pending.undisturbed and pending.arguments.get("stream")) or "".join(pending.chunks) == content
        if right and whole:
            self._tally.answered += 1
        else:
            self._tally.wrong += 1
            ended = content[:80] if frame.get("ok") else frame.get("error")
            what = f"chunks {pending.indexes}" if right else f"ended with {ended}"
            self._tally.complain("a wrong end", f"{what}: {pending.arguments['prompt'][:80]} at {time.monotonic():.1f}")

    def _name(self) -> int:
        self._count += 1
        return self._count

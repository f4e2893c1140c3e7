"""The upstream's HTTP server: the vendor's routes, and `/__control/` for the test that steers it."""

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec
from aiohttp import web

from tests.upstream.answer import ChatRequest, Script, error_body, json_script, stream_script, wrong_echo
from tests.upstream.behaviour import STEADY_MODEL, Behaviour, RecordedRequest
from tests.upstream.files import Files, uploaded

KEPT_REQUESTS = 5_000  # the oldest go first: a benchmark sends far more than anybody asks back
_LARGEST_BODY = 64 * 1024 * 1024
_PAUSE_BETWEEN_PARTS_S = 0.001  # long enough for a reader on loopback to see them apart
_SSE_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
_DEFAULT = Behaviour()
_chat_request = msgspec.json.Decoder(ChatRequest)


class _Received(NamedTuple):
    """A request, kept as it came: it is put into words only when somebody asks."""

    method: str
    path: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    raw: bytes
    model: str | None
    received_at: float

    def recorded(self) -> RecordedRequest:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}
        return RecordedRequest(self.method, self.path, headers, self.raw, self.model, self.received_at)


class UpstreamServer:
    """Everything lives in memory, on one event loop."""

    def __init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}
        self._failures: dict[str, int] = {}
        self._files = Files()
        self._received: deque[_Received] = deque(maxlen=KEPT_REQUESTS)
        self._disconnects: list[tuple[str, float]] = []
        self._changed = asyncio.Event()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/web_search", self._web_search)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files", self._list_files)
        app.router.add_get("/v1/files/{id}/content", self._file_content)
        app.router.add_delete("/v1/files/{id}", self._delete_file)
        app.router.add_post("/__control/behave", self._behave)
        app.router.add_post("/__control/reset", self._reset)
        app.router.add_get("/__control/requests", self._requests)
        app.router.add_get("/__control/disconnects", self._list_disconnects)
        app.router.add_route("*", "/v1/{rest:.*}", self._unknown)
        return app

    # The vendor.

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            asked = _chat_request.decode(raw)
        except msgspec.DecodeError as error:
            self._record(request, raw, None)
            body = {"error": {"message": str(error), "type": "invalid_request_error"}}
            return _json(msgspec.json.encode(body), status=400)
        self._record(request, raw, asked.model)
        try:
            return await self._answer(request, asked)
        except (asyncio.CancelledError, ConnectionError):
            self._disconnects.append((asked.model, time.time()))
            self._announce()
            raise

    async def _answer(self, request: web.Request, asked: ChatRequest) -> web.StreamResponse:
        behaviour = self._behaviours.get(asked.model, _DEFAULT)
        status = self._status(asked.model, behaviour)
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if status != 200:
            return _json(error_body(behaviour, status), status=status, headers=_retry_after(behaviour.retry_after))
        if wrong := wrong_echo(asked):
            body = {"error": {"message": wrong, "type": "invalid_request_error"}}
            return _json(msgspec.json.encode(body), status=400)
        if asked.stream and not behaviour.ignore_stream:
            headers = {**_SSE_HEADERS, **behaviour.answer_headers}
            return await _send(request, behaviour, stream_script(behaviour, asked), headers)
        script = json_script(behaviour, asked)
        if script.ending == "complete" and len(script.writes) == 1:
            return _json(script.writes[0], headers=behaviour.answer_headers)
        return await _send(request, behaviour, script, {"Content-Type": "application/json"})

    # Its files and searches, which name no model: how they are answered goes by the key.

    async def _refusal(self, request: web.Request, raw: bytes) -> web.Response | None:
        key = _key(request)
        self._record(request, raw, key)
        behaviour = self._behaviours.get(key, _DEFAULT)
        status = self._status(key, behaviour)
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if status == 200:
            return None
        return _json(error_body(behaviour, status), status=status, headers=_retry_after(behaviour.retry_after))

    async def _web_search(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request, await request.read()):
            return refusal
        found = {"id": "search-1", "search_result": self._behaviours.get(_key(request), _DEFAULT).sources}
        return _json(msgspec.json.encode(found))

    async def _upload(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if refusal := await self._refusal(request, raw):
            return refusal
        try:
            upload = uploaded(request.headers.get("Content-Type", ""), raw)
        except ValueError as error:
            return _json(msgspec.json.encode({"error": {"message": str(error)}}), status=400)
        return _json(msgspec.json.encode(self._files.add(_key(request), upload)))

    async def _list_files(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request, b""):
            return refusal
        return _json(msgspec.json.encode(self._files.page(_key(request), request.query)))

    async def _file_content(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request, b""):
            return refusal
        content = self._files.content(_key(request), request.match_info["id"])
        return _json(error_body(_DEFAULT, 404), status=404) if content is None else _json(content)

    async def _delete_file(self, request: web.Request) -> web.Response:
        if refusal := await self._refusal(request, b""):
            return refusal
        if not self._files.delete(_key(request), request.match_info["id"]):
            return _json(error_body(_DEFAULT, 404), status=404)
        return _json(msgspec.json.encode({"id": request.match_info["id"], "object": "file", "deleted": True}))

    def _status(self, model: str, behaviour: Behaviour) -> int:
        if behaviour.first_failures is None:
            return behaviour.status
        if self._failures.get(model, 0) >= behaviour.first_failures:
            return 200
        self._failures[model] = self._failures.get(model, 0) + 1
        return behaviour.status if behaviour.status != 200 else 500

    async def _models(self, request: web.Request) -> web.Response:
        self._record(request, b"", None)
        names = [STEADY_MODEL, *(name for name in self._behaviours if name != STEADY_MODEL)]
        data = [{"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "upstream"} for name in names]
        return _json(msgspec.json.encode({"object": "list", "data": data}))

    async def _unknown(self, request: web.Request) -> web.Response:
        self._record(request, await request.read(), None)
        return _json(error_body(_DEFAULT, 404), status=404)

    def _record(self, request: web.Request, raw: bytes, model: str | None) -> None:
        self._received.append(_Received(request.method, request.path_qs, request.raw_headers, raw, model, time.time()))
        self._announce()

    # The test that steers it.

    async def _behave(self, request: web.Request) -> web.Response:
        model = request.query["model"]
        try:
            self._behaviours[model] = msgspec.json.decode(await request.read(), type=Behaviour)
        except msgspec.DecodeError as error:
            return web.Response(status=400, text=str(error))
        self._failures.pop(model, None)
        return web.Response()

    async def _reset(self, _request: web.Request) -> web.Response:
        self._behaviours.clear()
        self._failures.clear()
        self._files = Files()
        self._received.clear()
        self._disconnects.clear()
        return web.Response()

    async def _requests(self, request: web.Request) -> web.Response:
        """Those of a model, or all; at least `count` of them, unless `timeout_s` passes first."""
        model = request.query.get("model")

        def found() -> list[_Received]:
            return [received for received in self._received if model is None or received.model == model]

        await self._wait(request, lambda: len(found()))
        return _json(msgspec.json.encode([received.recorded() for received in found()]))

    async def _list_disconnects(self, request: web.Request) -> web.Response:
        """As `_requests`, for the times at which clients of a model went away."""
        model = request.query["model"]

        def found() -> list[float]:
            return [at for name, at in self._disconnects if name == model]

        await self._wait(request, lambda: len(found()))
        return _json(msgspec.json.encode(found()))

    async def _wait(self, request: web.Request, size: Callable[[], int]) -> None:
        wanted = int(request.query.get("count", 0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query.get("timeout_s", 0))):
                while size() < wanted:
                    self._changed.clear()
                    await self._changed.wait()

    def _announce(self) -> None:
        self._changed.set()


@contextlib.asynccontextmanager
async def serving(port: int) -> AsyncIterator[int]:
    """Serves on loopback as long as the context lasts; gives the port, a free one for 0."""
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    # Only with handler_cancellation does a silent handler learn that its client went away.
    runner = web.AppRunner(
        UpstreamServer().application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield listening.getsockname()[1]
    finally:
        await runner.cleanup()


async def _send(
    request: web.Request, behaviour: Behaviour, script: Script, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    pause = behaviour.chunk_delay_s or (_PAUSE_BETWEEN_PARTS_S if behaviour.split_utf8 else 0)
    for index, data in enumerate(script.writes):
        if script.pause_before_last_s is not None and index == len(script.writes) - 1:
            await asyncio.sleep(script.pause_before_last_s)
        elif pause and index:
            await asyncio.sleep(pause)
        await response.write(data)
    if script.ending == "stall":
        await asyncio.Event().wait()  # until the client goes away, which cancels this
    elif script.ending == "break":
        _break_connection(request, reset=behaviour.reset)
    else:
        await response.write_eof()
    return response


def _break_connection(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        # Lingering for no time makes the kernel send RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _retry_after(value: float | str | None) -> dict[str, str]:
    if value is None:
        return {}
    return {"Retry-After": value if isinstance(value, str) else f"{value:g}"}


def _json(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")

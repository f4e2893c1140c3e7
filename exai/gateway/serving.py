"""What a connected client can ask for: one method an op."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from channels.db import database_sync_to_async
from django.db import DatabaseError

from exai.access import AccessError, client_replace_token
from exai.calls.kept_calls import CallGone
from exai.calls.limits import frame_buckets
from exai.calls.redis_link import RedisAway
from exai.database import DatabaseAway
from exai.gateway.answers import error_frame, failure
from exai.gateway.authentication import AuthenticatedClient
from exai.gateway.following import follow_call
from exai.gateway.gateway import Gateway
from exai.gateway.running_call import Caller, CallRequest, RunningCall, utc_timestamp
from exai.protocol import frames
from exai.protocol.codec import BadFrame, decode_request
from exai.protocol.errors import InvalidRequest, NotFound, OverCapacity, ServiceUnavailable
from exai.tools.catalogue import tool_catalogue

_OUT_OF_REACH = ServiceUnavailable("What is kept of calls is out of reach at the moment. Try again.", retry_after=1)
_TOO_MUCH_AT_ONCE = OverCapacity(
    "This connection has all the calls that it may have at once. Wait for an answer.",
    reason="calls_of_connection",
    retry_after=1,
)


class Connection(Caller, Protocol):
    async def send(self, frame: msgspec.Struct) -> None: ...


class Service:
    """Serves the requests of one connection of a client. Calls run on tasks of their own, so that nothing waits for
    one."""

    def __init__(self, gateway: Gateway, connection: Connection, client: AuthenticatedClient) -> None:
        self._gateway = gateway
        self._connection = connection
        self._client = client
        self._session = f"{client.id}:{connection.session_id}"
        self._buckets = frame_buckets(
            gateway.settings,
            address=connection.limited_address,
            session=self._session,
            client_refill=client.frame_rate,
        )
        # As many calls as may run and wait, with the arguments of as many as may run: whatever one waits for, and
        # though its answer is not read, no connection makes the hub hold more.
        at_once = client.session_max_inflight or gateway.settings.session_max_inflight
        self._most_calls = at_once + gateway.settings.max_waiting
        self._most_bytes = at_once * gateway.settings.tool_call_max_size
        self.calls_in_flight = 0
        self._bytes_in_flight = 0
        self._calls: dict[frames.RequestId, list[RunningCall]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._resumed: set[tuple[str, frames.RequestId]] = set()

    def gets(self, call_id: str, request_id: frames.RequestId) -> bool:
        """Whether the frames of that call come to this connection already, under that request_id."""
        same_id = self._calls.get(request_id, ())
        return (call_id, request_id) in self._resumed or any(
            call_id in (str(call.id), call.attached_to) for call in same_id
        )

    async def serve(self, text: str) -> None:
        try:
            request = decode_request(text)
        except BadFrame as bad:
            if await self._has_token(bad.request_id):
                await self._connection.send(error_frame(bad.request_id, bad.error))
            return
        match request:
            case frames.CallTool():
                await self._start_call(request.request_id, request.name, request.arguments)
            case frames.ToolCall():
                await self._start_tool_call(request)
            case _:
                if await self._has_token(request.request_id):
                    await self._serve_small(request)

    async def _has_token(self, request_id: frames.RequestId | None) -> bool:
        """Takes the token of a frame that is no call; the client is told when there is none."""
        try:
            await self._gateway.admission.take_token(self._buckets)
        except OverCapacity as refused:
            await self._connection.send(error_frame(request_id, refused))
            return False
        return True

    async def _serve_small(self, request: frames.Request) -> None:
        match request:
            case frames.Ping():
                await self._connection.send(frames.Pong(request_id=request.request_id, timestamp=utc_timestamp()))
            case frames.Cancel():
                await self._cancel(request)
            case frames.ListTools():
                await self._list_tools(request)
            case frames.Health():
                await self._connection.send(self._health(request))
            case frames.Resume():
                task = asyncio.create_task(self._resume(request))
                self._following.add(task)
                task.add_done_callback(self._following.discard)
            case frames.RotateToken():
                await self._rotate_token(request)

    async def _start_tool_call(self, request: frames.ToolCall) -> None:
        name = request.tool.name if request.tool else request.name
        if name is not None:
            await self._start_call(request.request_id, name, request.arguments)
        elif await self._has_token(request.request_id):
            await self._connection.send(error_frame(request.request_id, InvalidRequest("The tool_call names no tool.")))

    async def _start_call(self, request_id: frames.RequestId | None, name: str, arguments: msgspec.Raw) -> None:
        if request_id is None:
            request_id = secrets.token_hex(8)
        copied = bytes(arguments)  # as received they are a view into the whole frame
        size = len(copied)
        if self._would_hold_too_much(size):
            if await self._has_token(request_id):
                await self._connection.send(failure(request_id, name, _TOO_MUCH_AT_ONCE))
            return
        request = CallRequest(request_id, name, msgspec.Raw(copied), self._client)
        call = self._gateway.executor.start(request, self._connection)
        self.calls_in_flight += 1
        self._bytes_in_flight += size
        same_id = self._calls.setdefault(request_id, [])
        same_id.append(call)
        call.when_done(lambda: self._forget(request_id, call, size))

    def _would_hold_too_much(self, size: int) -> bool:
        too_large = self.calls_in_flight > 0 and self._bytes_in_flight + size > self._most_bytes
        return too_large or self.calls_in_flight >= self._most_calls

    def _forget(self, request_id: frames.RequestId, call: RunningCall, size: int) -> None:
        self.calls_in_flight -= 1
        self._bytes_in_flight -= size
        self._calls[request_id].remove(call)
        if not self._calls[request_id]:
            del self._calls[request_id]

    async def _cancel(self, request: frames.Cancel) -> None:
        """Cancels a call of this connection, else of any connection of the client."""
        request_id = request.request_id
        here = list(self._calls.get(request_id, ()))
        found = False
        for call in here:
            # One that came in the same breath may be a repeat: then the call that answers it is meant.
            await call.placed.wait()
        for call in here:
            found |= call.attached_to is None and call.cancel()
        cancelling = self._gateway.cancelling
        try:
            for call_id in (call.attached_to for call in here):
                found = found or (call_id is not None and await cancelling.cancel_id(call_id))
            found = found or await cancelling.cancel_named(
                client_id=self._client.id, session=self._session, request_id=request_id
            )
        except RedisAway:
            await self._connection.send(error_frame(request_id, _OUT_OF_REACH))
        else:
            await self._connection.send(frames.Cancelled(request_id=request_id, found=found))

    async def _resume(self, request: frames.Resume) -> None:
        call_id = None
        try:
            call_id = await self._gateway.kept.named(session=self._session, request_id=request.request_id)
            if call_id is None:
                raise CallGone
            if self.gets(call_id, request.request_id):
                call_id = None
                return  # the rest comes as it is
            self._resumed.add((call_id, request.request_id))
            await follow_call(
                self._gateway.kept,
                call_id,
                self._connection,
                request_id=request.request_id,
                heartbeat_s=self._gateway.settings.ws_progress_interval_secs,
                after=request.after,
            )
        except CallGone:
            unknown = NotFound("Nothing is kept of a call of this request_id; ask again.")
            await self._connection.send(error_frame(request.request_id, unknown))
        except RedisAway:
            await self._connection.send(error_frame(request.request_id, _OUT_OF_REACH))
        finally:
            if call_id is not None:
                self._resumed.discard((call_id, request.request_id))

    async def _list_tools(self, request: frames.ListTools) -> None:
        tools = tool_catalogue(self._client.tool_names)
        await self._connection.send(
            frames.ListToolsResult(request_id=request.request_id, tools=tools, timestamp=utc_timestamp())
        )

    def _health(self, request: frames.Health) -> frames.HealthResult:
        hub = self._gateway.hub
        return frames.HealthResult(
            request_id=request.request_id,
            ok=not hub.draining,
            health=frames.HealthFigures(
                t=time.time(),
                uptime_human=str(datetime.now(UTC) - hub.started_at).partition(".")[0],
                sessions=hub.connections,
                global_capacity=hub.capacity,
                global_inflight=hub.calls_in_flight,
                tool_count=len(self._client.tool_names),
            ),
        )

    async def _rotate_token(self, request: frames.RotateToken) -> None:
        error: Any = None
        if not request.old or not request.new:
            error = "missing_params"
        else:
            replace = database_sync_to_async(client_replace_token)
            try:
                await replace(old=request.old, new=request.new, client_id=self._client.id)
            except AccessError as refused:
                error = refused.args[0]
            except DatabaseError:
                await self._connection.send(error_frame(request.request_id, DatabaseAway()))
                return
        await self._connection.send(
            frames.RotateTokenResult(request_id=request.request_id, ok=error is None, error=error)
        )

"""Finding and cancelling a running call of a client, in whichever process and session it runs."""

import msgspec

from exai.calls.kept_calls import KeptCalls
from exai.calls.process import Process
from exai.gateway.entrance import CallDescription
from exai.gateway.executor import Executor
from exai.protocol.frames import RequestId


class Cancelling:
    def __init__(self, *, kept: KeptCalls, process: Process, executor: Executor) -> None:
        self._kept = kept
        self._process = process
        self._executor = executor

    async def cancel_named(self, *, client_id: int, session: str, request_id: RequestId) -> bool:
        """Cancels the call that the session means by that request_id; where it has none, the client's only running one
        of that request_id. Whether there was one. Raises `RedisAway`."""
        if await self._executor.cancel_named(session=session, request_id=request_id):
            return True
        call_id = await self._kept.named(session=session, request_id=request_id)
        if call_id is not None:
            return await self.cancel_id(call_id)
        found = [
            (process, call_id)
            async for process, call_id, described in self._kept.running()
            if _is_named(described, client_id, request_id)
        ]
        if len(found) != 1:
            return False
        return await self._tell(*found[0])

    async def cancel_id(self, call_id: str) -> bool:
        """Raises `RedisAway`."""
        owner = await self._kept.owner(call_id)
        return owner is not None and await self._tell(owner, call_id)

    async def _tell(self, process: str, call_id: str) -> bool:
        if process == self._process.id:
            return self._executor.cancel(call_id)
        return await self._process.tell(process, "cancel", call_id)


def _is_named(described: bytes, client_id: int, request_id: RequestId) -> bool:
    try:
        call = msgspec.json.decode(described, type=CallDescription)
    except msgspec.DecodeError:
        return False  # of another version of the hub
    return call.client_id == client_id and call.request_id == request_id

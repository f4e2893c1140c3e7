"""Slots of providers, counted in Redis; in this process alone, with half of them, while Redis is away."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from exai.calls import keys, scripts
from exai.calls.limits import Slot
from exai.calls.local_limits import LocalSlots
from exai.calls.process import HeldByCall, Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink
from exai.calls.spare_slots import SpareSlots
from exai.calls.waiting import Grant, Grants
from exai.protocol.errors import OverCapacity
from exai.providers.base import Asker


class SharedProviderSlots:
    """Implements `exai.providers.slots.ProviderSlots`."""

    def __init__(
        self, link: RedisLink, process: Process, grants: Grants, *, longest_wait_s: float, most_waiting: int
    ) -> None:
        self._link = link
        self._process = process
        self._grants = grants
        self._longest_wait_s = longest_wait_s
        self._most_waiting = most_waiting
        self._local = LocalSlots()
        self._spare = SpareSlots(link, process, self._give_back)

    @asynccontextmanager
    async def slot(self, provider: str, *, most: int, asker: Asker | None) -> AsyncIterator[None]:
        """Raises `OverCapacity`."""
        wanted = Slot(keys.provider_slots(provider), most)
        if (spare := self._spare.take(wanted.key)) is not None:
            try:
                yield
            finally:
                self._leave(wanted, spare)
            return
        async with AsyncExitStack() as held:
            try:
                await self._take(provider, wanted, asker, held)
            except RedisAway:
                await self._take_here(provider, wanted, asker, held)
            yield

    def _leave(self, wanted: Slot, holder: str) -> None:
        if not self._spare.keep(wanted.key, holder, most=wanted.most):
            self._give_back(wanted.key, holder)

    def _give_back(self, pool: str, holder: str, *, session: str = "", waited: bool = False, held_ms: int = 0) -> None:
        self._process.calls.pop(holder, None)
        self._link.send_script(
            scripts.GIVE_SLOT_BACK, [], [self._process.lease_ms, pool, holder, session, int(waited), held_ms]
        )

    async def _take(self, provider: str, wanted: Slot, asker: Asker | None, held: AsyncExitStack) -> None:
        holder, session = secrets.token_hex(8), asker.session if asker else ""
        loop = asyncio.get_running_loop()
        arguments: list[Part] = [
            *(self._process.lease_ms, self._most_waiting),
            *(holder, self._process.id, session, 1, wanted.key, wanted.most),
        ]
        taken_at, waited = loop.time(), True  # until the reply, which may never come, says that it does not

        def leave() -> None:
            if not waited and is_taken:
                self._leave(wanted, holder)
            else:
                held_ms = round((loop.time() - taken_at) * 1000)
                self._give_back(wanted.key, holder, session=session, waited=waited, held_ms=held_ms)

        is_taken = False
        held.enter_context(self._grants.expected(holder))
        held.callback(leave)  # also of a slot that was given although its reply was lost
        outcome = (await self._link.script(scripts.TAKE_SLOT, [], arguments))[0]
        if outcome == b"full":
            raise await self._over_capacity(provider, wanted)
        waited = outcome == b"wait"
        if waited:
            give_up_at = loop.time() + self._longest_wait_s
            async with _waiting(asker, provider):
                try:
                    while await self._grants.wait(wanted.key, holder, give_up_at=give_up_at) is Grant.FORGOTTEN:
                        if (await self._link.script(scripts.TAKE_SLOT, [], arguments))[0] == b"run":
                            break
                except TimeoutError:
                    raise await self._over_capacity(provider, wanted) from None
            taken_at = loop.time()
        self._process.calls[holder] = HeldByCall(holder, [wanted.key], "")
        is_taken = True

    async def _take_here(self, provider: str, wanted: Slot, asker: Asker | None, held: AsyncExitStack) -> None:
        if not self._local.try_take((wanted,)):
            async with _waiting(asker, provider):
                try:
                    await self._local.wait((wanted,), within_s=self._longest_wait_s)
                except TimeoutError:
                    raise await self._over_capacity(provider, wanted) from None
        held.callback(self._local.give_back, (wanted,))

    async def _over_capacity(self, provider: str, wanted: Slot) -> OverCapacity:
        retry_after_s = await self._grants.retry_after_s(wanted.key)
        return OverCapacity(
            f"All {wanted.most} places for requests to {provider} are taken and stayed so. "
            f"Try again in {retry_after_s} seconds.",
            reason=f"provider_{provider}",
            retry_after=retry_after_s,
        )


@asynccontextmanager
async def _waiting(asker: Asker | None, provider: str) -> AsyncIterator[None]:
    if asker is None:
        yield
    else:
        async with asker.waiting(f"Waiting for capacity of {provider}"):
            yield

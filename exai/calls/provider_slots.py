"""Slots of providers, counted in Redis; in this process alone, with half of them, while Redis is away."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.calls import keys, scripts
from exai.calls.process import HeldByCall, Process
from exai.calls.redis_link import RedisAway, RedisLink
from exai.protocol.errors import OverCapacity

_POLL_S = 0.01
_LONGEST_POLL_S = 0.1


class SharedProviderSlots:
    """Implements `exai.providers.slots.ProviderSlots`."""

    def __init__(self, link: RedisLink, process: Process, *, longest_wait_s: float) -> None:
        self._link = link
        self._process = process
        self._longest_wait_s = longest_wait_s
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def slot(self, provider: str, *, most: int) -> AsyncIterator[None]:
        key, holder = keys.provider_slots(provider), secrets.token_hex(8)
        give_up_at, pause_s = asyncio.get_running_loop().time() + self._longest_wait_s, _POLL_S
        while not (counted := await self._take(key, holder, most)):
            if asyncio.get_running_loop().time() + pause_s > give_up_at:
                raise OverCapacity(
                    f"All {most} places for requests to {provider} are taken and stayed so.",
                    reason=f"provider_{provider}",
                    retry_after=max(1, round(self._longest_wait_s)),
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
        try:
            yield
        finally:
            self._here[key] -= 1
            if counted == "there":
                self._process.calls.pop(holder, None)
                self._link.send("ZREM", key, holder)

    async def _take(self, key: str, holder: str, most: int) -> str:
        """`there` (in Redis), `here` (in this process alone), or empty."""
        try:
            taken = await self._link.script(scripts.TAKE_PROVIDER_SLOT, [], [key, most, holder, self._process.lease_ms])
        except RedisAway:
            if self._here[key] >= max(1, most // 2):
                return ""
            self._here[key] += 1
            return "here"
        if not taken:
            return ""
        self._here[key] += 1
        self._process.calls[holder] = HeldByCall(holder, [key], "")
        return "there"

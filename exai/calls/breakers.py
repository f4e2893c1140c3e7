"""The breakers of all web processes, in Redis; of this process alone while Redis is away.

A process knows which breakers are not closed, so a call to a healthy provider asks nobody. It is told of each change,
and looks for itself at each of its signs of life, in case a message got lost. What succeeds is told in sums, what fails
at once.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter

from exai.calls import scripts
from exai.calls.process import Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.providers.breaker import CLOSED, BreakerRules, Outcome, Standing, refusal
from exai.providers.local_breakers import LocalBreakers

logger = logging.getLogger(__name__)

CHANGED = "breaker"
_TELL_EVERY_S = 0.1
_LONGEST_TRUST_S = 1.0  # in that a trial of another process is under way


class SharedBreakers:
    """Implements `exai.providers.breaker.Breakers`."""

    def __init__(self, link: RedisLink, process: Process, rules: BreakerRules) -> None:
        self._link = link
        self._rules = rules
        self._not_closed: dict[str, float] = {}  # until when, by the monotonic clock
        self._alone = LocalBreakers(rules)
        self._succeeded: Counter[str] = Counter()
        self._telling: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        if rules.open_s:
            process.on(CHANGED, lambda _provider: self._look_soon())
            process.on_beat(self._look_soon)

    def standing(self, provider: str) -> Standing:
        until = self._not_closed.get(provider)
        if until is None:
            return self._alone.standing(provider) if self._link.away else CLOSED
        left_s = until - time.monotonic()
        return Standing("open", left_s) if left_s > 0 else Standing("half-open")

    async def enter(self, provider: str) -> str:
        if not self._not_closed and not self._link.away:
            return ""
        until = self._not_closed.get(provider)
        if until is not None:
            left_s = until - time.monotonic()
            if left_s > 0:
                raise refusal(provider, left_s)
            try:
                return await self._try(provider)
            except RedisAway:
                # Its trial is this process's own affair now.
                self._alone.open(provider, 0)
                self._not_closed.pop(provider, None)
        return await self._alone.enter(provider) if self._link.away else ""

    def leave(self, provider: str, trial: str, outcome: Outcome) -> None:
        if not self._rules.open_s or (outcome is Outcome.NEITHER and not trial):
            return
        if self._link.away:
            self._alone.leave(provider, trial, outcome)
        elif outcome is Outcome.SUCCEEDED and not trial:
            self._succeeded[provider] += 1
            if self._telling is None:
                self._telling = asyncio.get_running_loop().call_later(_TELL_EVERY_S, self._tell_sums)
        else:
            self._report(provider, trial, outcome)

    async def look(self) -> None:
        """Learns which breakers are not closed. Raises `RedisAway`."""
        listed = await read_breakers(self._link)
        now = time.monotonic()
        self._not_closed = {provider: now + left_s for provider, left_s in listed.items()}
        self._alone.reset()

    async def _try(self, provider: str) -> str:
        trial = secrets.token_hex(8)
        arguments: list[Part] = [provider, trial, round(self._rules.trial_s * 1000)]
        try:
            answer = await self._link.script(scripts.BREAKER_TRY, [], arguments)
        except asyncio.CancelledError:
            self._report(provider, trial, Outcome.NEITHER)  # Redis may have given it all the same
            raise
        if answer == b"trial":
            return trial
        if answer == b"closed":
            self._not_closed.pop(provider, None)
            return ""
        left_s = min(answer / 1000, _LONGEST_TRUST_S)
        self._not_closed[provider] = time.monotonic() + left_s
        raise refusal(provider, left_s)

    def _report(self, provider: str, trial: str, outcome: Outcome) -> None:
        rules = self._rules
        self._link.send_script(
            scripts.BREAKER_REPORT,
            [],
            [
                *(provider, outcome.value, self._succeeded.pop(provider, 0), trial, round(rules.open_s * 1000)),
                *(rules.failures_in_a_row, rules.window_calls, round(rules.window_s * 1000), str(rules.window_share)),
            ],
        )

    def _tell_sums(self) -> None:
        self._telling = None
        for provider in list(self._succeeded):
            self._report(provider, "", Outcome.NEITHER)

    def _look_soon(self) -> None:
        if self._looking is not None:
            self._look_again = True
            return
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        try:
            while True:
                self._look_again = False
                await self.look()
                if not self._look_again:
                    return
        except RedisAway:
            return  # the next sign of life looks again
        except RedisRefused:
            logger.exception("Redis refused to list the breakers")
        finally:
            self._looking = None


async def read_breakers(link: RedisLink) -> dict[str, float]:
    """The providers whose breaker is not closed, with the seconds until a trial. Raises `RedisAway`."""
    listed = await link.script(scripts.BREAKER_LIST, [])
    return {name.decode(): left_ms / 1000 for name, left_ms in zip(listed[::2], listed[1::2], strict=True)}


async def reset_breaker(link: RedisLink, provider: str) -> bool:
    """Closes a provider's breaker in all processes; whether it was not closed. Raises `RedisAway`."""
    return bool(await link.script(scripts.BREAKER_RESET, [], [provider]))

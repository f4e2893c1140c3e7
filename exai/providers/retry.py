"""Asks again what failed before its first word: exponential pauses with jitter, or what the vendor asks for."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from exai.protocol.errors import ProviderFailed, ProviderUnreachable
from exai.providers.base import AnswerEvent, ModelRequest, Provider
from exai.providers.failures import RETRYABLE_STATUSES
from exai.providers.wrapper import Wrapper


class RetryPolicy(msgspec.Struct, frozen=True):
    """Times in seconds. `most`: repetitions after the first attempt. No attempt begins once `patience_s` have passed
    since the first one did: what has been silent for so long is not waited for anew. A vendor that asks for a pause
    above `longest_pause_s` (Retry-After) is not asked again at all."""

    most: int = 2
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    patience_s: float = 60.0


class Retrying(Wrapper):
    """`worthwhile` tells whether another attempt may be made at all: not while the provider's breaker is open."""

    def __init__(
        self,
        provider: Provider,
        policy: RetryPolicy,
        *,
        worthwhile: Callable[[], bool] = lambda: True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(provider)
        self._policy = policy
        self._worthwhile = worthwhile
        self._jitter = jitter

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        now = asyncio.get_running_loop().time
        patience_s = self._policy.patience_s
        if request.timeout_s is not None and request.timeout_s < patience_s:
            patience_s = request.timeout_s
        give_up_at = now() + patience_s
        attempt = 0
        while True:
            attempt += 1
            request.effort.attempts += 1
            began = False
            try:
                async with aclosing(self._provider.ask(request)) as events:
                    async for event in events:
                        began = True
                        yield event
                return
            except ProviderFailed as failure:
                pause_s = None if began else self._pause_s(failure, attempt)
                if pause_s is None or now() + pause_s >= give_up_at:
                    raise
            await asyncio.sleep(pause_s)

    def _pause_s(self, failure: ProviderFailed, attempt: int) -> float | None:
        """How long to wait before the next attempt; None: there is none."""
        if attempt > self._policy.most or not _may_pass(failure) or not self._worthwhile():
            return None
        pause_s = self._policy.first_pause_s * 2.0 ** (attempt - 1) * (0.5 + self._jitter())
        asked_s: float | None = failure.details.get("retry_after")
        if asked_s is None:
            return pause_s
        if asked_s > self._policy.longest_pause_s:
            return None
        # Later than asked, never sooner; not all at the same moment.
        return asked_s + pause_s / 2


def _may_pass(failure: ProviderFailed) -> bool:
    """Whether the same request may succeed in a moment, and cannot have been answered and billed already."""
    if not failure.details["retryable"] or failure.details.get("partial_text"):
        return False
    return isinstance(failure, ProviderUnreachable) or failure.details["status"] in RETRYABLE_STATUSES

"""A provider that does not answer is left alone for a while: its breaker opens, and calls are refused at once.

Opens on 5 failures in a row, or when over 50 % of the last 20 calls failed, all within 60 s; half-open after 30 s: one
call is let through as a trial, and its outcome closes the breaker or opens it anew.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

from exai.protocol.errors import HubError, ProviderFailed, ServiceUnavailable
from exai.providers.base import AnswerEvent, Finished, ModelRequest, Provider
from exai.providers.wrapper import Wrapper

BreakerState = Literal["closed", "open", "half-open"]


class BreakerRules(msgspec.Struct, frozen=True):
    """Times in seconds. `open_s` 0: breakers never open. A trial that did not end after `trial_s` is given up."""

    failures_in_a_row: int = 5
    window_calls: int = 20
    window_s: float = 60.0
    window_share: float = 0.5
    open_s: float = 30.0
    trial_s: float = 65.0


class Standing(msgspec.Struct, frozen=True):
    """`retry_after_s`: until an open breaker lets a trial through."""

    state: BreakerState = "closed"
    retry_after_s: float = 0.0


CLOSED = Standing()


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NEITHER = "neither"  # it says nothing about the provider


class Breakers(Protocol):
    """The breakers of all providers, by their names."""

    def standing(self, provider: str) -> Standing:
        """As far as this process knows; without waiting."""
        ...

    async def enter(self, provider: str) -> str:
        """Lets a call through: the trial that it is, or empty. Raises `ServiceUnavailable`, see `refusal`."""
        ...

    def leave(self, provider: str, trial: str, outcome: Outcome) -> None:
        """The call that `enter` let through has ended; without waiting."""
        ...


def refusal(provider: str, retry_after_s: float) -> ServiceUnavailable:
    seconds = max(1, round(retry_after_s))
    return ServiceUnavailable(
        f"{provider} has failed too often and is left alone for now; it is tried again in {seconds} s. "
        "Name a model of another provider (see listmodels), or call again then.",
        provider=provider,
        retry_after=seconds,
        reason="breaker_open",
    )


class Guarded(Wrapper):
    def __init__(self, provider: Provider, breakers: Breakers) -> None:
        super().__init__(provider)
        self._breakers = breakers

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        trial = await self._breakers.enter(self.name)
        # What is cancelled says nothing; neither does what the hub itself refuses.
        outcome = Outcome.NEITHER
        try:
            async with aclosing(self._provider.ask(request)) as events:
                async for event in events:
                    if trial:
                        # Its first word shows that it lives: the others need not wait for the end of a long answer.
                        self._breakers.leave(self.name, trial, Outcome.SUCCEEDED)
                        trial = ""
                    if type(event) is Finished:
                        outcome = Outcome.SUCCEEDED
                    yield event
        except HubError as error:
            outcome = Outcome.FAILED if _counts(error) else Outcome.NEITHER
            raise
        finally:
            self._breakers.leave(self.name, trial, outcome)


def _counts(error: HubError) -> bool:
    """Whether the provider is to blame, and not the request, the key, or the hub's own limits.

    A vendor that says when it will answer again (429 with Retry-After) is alive, and is waited for.
    """
    if not isinstance(error, ProviderFailed) or not error.details["retryable"]:
        return False
    return not (error.details["status"] == 429 and "retry_after" in error.details)

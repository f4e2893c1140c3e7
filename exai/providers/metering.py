"""One record for each request to a provider, however it ends. Whoever wants the records plugs a meter in."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, Protocol

import msgspec

from exai.protocol.errors import HubError
from exai.protocol.values import Usage
from exai.providers.base import AnswerEvent, Finished, ModelRequest, Provider
from exai.providers.wrapper import Wrapper

Outcome = Literal["succeeded", "failed", "cancelled"]


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`ttft_ms`: until the first event, text or reasoning; None when none came. `attempts` counts those too that
    the breaker or a lack of places kept from the provider. `error_code`: of a failed one."""

    provider: str
    model: str
    usage: Usage
    ttft_ms: float | None
    total_ms: float
    outcome: Outcome
    attempts: int
    error_code: str = ""
    call_id: str = ""


class Meter(Protocol):
    def record(self, record: RequestRecord) -> None:
        """Must neither wait nor raise: it is called on the way of each request."""
        ...


class Metered(Wrapper):
    def __init__(self, provider: Provider, meter: Meter) -> None:
        super().__init__(provider)
        self._meter = meter

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        began = time.perf_counter()
        first_at: float | None = None
        usage, error_code = Usage(), ""
        # An end that is none of the others is the reader's, who went away.
        outcome: Outcome = "cancelled"
        try:
            async with aclosing(self._provider.ask(request)) as events:
                async for event in events:
                    if first_at is None:
                        first_at = time.perf_counter()
                    if type(event) is Finished:
                        # Before it is passed on: nobody reads on after the end.
                        usage, outcome = event.usage, "succeeded"
                    yield event
        except HubError as error:
            outcome, error_code = "failed", error.code.value
            raise
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception:
            outcome, error_code = "failed", "INTERNAL_ERROR"
            raise
        finally:
            self._meter.record(
                RequestRecord(
                    provider=self.name,
                    model=request.model,
                    usage=usage,
                    ttft_ms=None if first_at is None else (first_at - began) * 1000,
                    total_ms=(time.perf_counter() - began) * 1000,
                    outcome=outcome,
                    attempts=request.effort.attempts,
                    error_code=error_code,
                    call_id=request.call_id,
                )
            )

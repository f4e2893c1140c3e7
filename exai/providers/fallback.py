"""Asks another model when the first fails before its first word: at most one, and never in silence."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from exai.protocol.errors import HubError, OverCapacity, ProviderFailed, ServiceUnavailable
from exai.providers.base import AnswerEvent, ModelRequest
from exai.providers.registry import ServedModel

# Refusals that are about the key, the quota or the model, and not about what was asked.
_STATUSES_OF_THE_VENDOR = frozenset({401, 402, 403, 404})
_STATUSES_OF_A_WHOLE_PROVIDER = frozenset({None, 401, 402})  # None: its connection failed


class Fallback:
    """One question's. `switch` is called with the other model and the failure of the first, and gives the request."""

    def __init__(
        self,
        first: ServedModel,
        request: ModelRequest,
        other: ServedModel,
        switch: Callable[[ServedModel, HubError], Awaitable[ModelRequest]],
    ) -> None:
        self._first = first
        self._request = request
        self._other = other
        self._switch = switch

    async def ask(self) -> AsyncGenerator[AnswerEvent, None]:
        began = False
        try:
            async with aclosing(self._first.provider.ask(self._request)) as events:
                async for event in events:
                    began = True
                    yield event
            return
        except HubError as error:
            if began or not self._may_help(error):
                raise
            failure = error
        request = await self._switch(self._other, failure)
        try:
            async with aclosing(self._other.provider.ask(request)) as events:
                async for event in events:
                    yield event
        except HubError as second:
            second.details["fallback_from"] = self._first.qualified_name
            second.details["fallback_reason"] = failure.message
            raise

    def _may_help(self, failure: HubError) -> bool:
        """Whether the other may answer what the first did not. A question that is too long or that a vendor's filter
        refuses is not taken from vendor to vendor."""
        if isinstance(failure, ProviderFailed):
            status = failure.details["status"]
            if self._other.provider is self._first.provider and status in _STATUSES_OF_A_WHOLE_PROVIDER:
                return False
            return bool(failure.details["retryable"]) or status in _STATUSES_OF_THE_VENDOR
        elsewhere = self._other.provider is not self._first.provider
        return elsewhere and isinstance(failure, ServiceUnavailable | OverCapacity)

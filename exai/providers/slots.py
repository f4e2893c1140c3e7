"""A provider with a bound on its requests in flight: wraps any other."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from exai.providers.base import AnswerEvent, Asker, ModelRequest, Provider
from exai.providers.wrapper import Wrapper


class ProviderSlots(Protocol):
    def slot(self, provider: str, *, most: int, asker: Asker | None) -> AbstractAsyncContextManager[None]:
        """Holds one of `most` slots of a provider, across processes. Raises `OverCapacity`."""
        ...


class Slotted(Wrapper):
    def __init__(self, provider: Provider, slots: ProviderSlots, *, most: int) -> None:
        super().__init__(provider)
        self._slots = slots
        self._most = most

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        async with (
            self._slots.slot(self._provider.name, most=self._most, asker=request.asker),
            aclosing(self._provider.ask(request)) as events,
        ):
            async for event in events:
                yield event

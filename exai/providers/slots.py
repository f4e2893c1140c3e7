"""A provider with a bound on its requests in flight: wraps any other."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from exai.providers.base import AnswerEvent, Asker, ModelInfo, ModelRequest, Provider


class ProviderSlots(Protocol):
    def slot(self, provider: str, *, most: int, asker: Asker | None) -> AbstractAsyncContextManager[None]:
        """Holds one of `most` slots of a provider, across processes. Raises `OverCapacity`."""
        ...


class Slotted:
    def __init__(self, provider: Provider, slots: ProviderSlots, *, most: int) -> None:
        self._provider = provider
        self._slots = slots
        self._most = most

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def models(self) -> Sequence[ModelInfo]:
        return self._provider.models

    @property
    def is_test(self) -> bool:
        return self._provider.is_test

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        async with (
            self._slots.slot(self._provider.name, most=self._most, asker=request.asker),
            aclosing(self._provider.ask(request)) as events,
        ):
            async for event in events:
                yield event

    async def close(self) -> None:
        await self._provider.close()

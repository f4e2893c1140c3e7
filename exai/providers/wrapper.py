"""What all wrappers share: each is a provider around a provider, of the same name and models."""

from collections.abc import AsyncGenerator, Sequence

from exai.providers.base import AnswerEvent, ModelInfo, ModelRequest, Provider


class Wrapper:
    """Passes all on; a subclass changes `ask`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def models(self) -> Sequence[ModelInfo]:
        return self._provider.models

    @property
    def is_test(self) -> bool:
        return self._provider.is_test

    def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        return self._provider.ask(request)

    async def close(self) -> None:
        await self._provider.close()

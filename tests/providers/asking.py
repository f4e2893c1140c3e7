"""Asking a provider in a test: the answer in one piece, and the error that came in its place."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest

from exai.protocol.errors import HubError, ProviderFailed
from exai.providers.base import ChatMessage, Finished, ModelInfo, ModelRequest, Provider, ReasoningDelta, TextDelta
from exai.providers.dialect import Dialect
from exai.providers.openai_compatible import OpenAICompatible

KEY = "sk-test-0123456789abcdef"
KEY_SETTING = "TEST_API_KEY"


class Answer(NamedTuple):
    text: str
    reasoning: str
    finished: Finished
    pieces: int


class Endpoints:
    """Makes providers of one base URL, and closes them all."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[OpenAICompatible] = []

    def make(
        self,
        url: str | None = None,
        *,
        key: str = KEY,
        connect_timeout_s: float = 5,
        read_timeout_s: float = 5,
        models: Sequence[ModelInfo] = (),
        dialect: Dialect | None = None,
    ) -> OpenAICompatible:
        provider = OpenAICompatible(
            name="vendor",
            base_url=url or self._url,
            key=key,
            key_setting=KEY_SETTING,
            models=models,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            dialect=dialect,
        )
        self._made.append(provider)
        return provider

    async def close(self) -> None:
        for provider in self._made:
            await provider.close()


def question(model: str, text: str = "Good morning", temperature: float | None = None, **more: Any) -> ModelRequest:
    return ModelRequest(model, (ChatMessage("user", text),), temperature, **more)


async def answer(provider: Provider, request: ModelRequest) -> Answer:
    text: list[str] = []
    reasoning: list[str] = []
    finished: list[Finished] = []
    async with aclosing(provider.ask(request)) as events:
        async for event in events:
            assert not finished, "Nothing follows the end of an answer"
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, ReasoningDelta):
                reasoning.append(event.text)
            else:
                finished.append(event)
    assert all(text)
    assert all(reasoning)
    [end] = finished
    return Answer("".join(text), "".join(reasoning), end, len(text))


async def failure(provider: Provider, request: ModelRequest) -> HubError:
    with pytest.raises(HubError) as caught:
        await answer(provider, request)
    return caught.value


async def provider_failure_of(name: str, provider: Provider, request: ModelRequest) -> ProviderFailed:
    failed = await failure(provider, request)
    assert isinstance(failed, ProviderFailed), failed.message
    assert failed.details["provider"] == name
    return failed


async def provider_failure(provider: Provider, request: ModelRequest) -> ProviderFailed:
    """Of a provider that `Endpoints` made."""
    return await provider_failure_of("vendor", provider, request)

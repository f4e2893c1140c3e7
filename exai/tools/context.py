"""What a running tool has at hand: the models, the conversation so far, the caller's ear, the hub's own state."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

import msgspec

from exai.protocol.errors import ContentTooLarge
from exai.protocol.values import Turn, Usage
from exai.providers.base import (
    Asker,
    ChatMessage,
    Finished,
    ModelInfo,
    ModelRequest,
    ReasoningDelta,
    Source,
    TextDelta,
    Thinking,
)
from exai.providers.registry import AUTO, Registry, ServedModel
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens
from exai.tools.history import newest_that_fit
from exai.tools.spending import Spending

_DEFAULT_ANSWER_TOKENS = 4096  # kept free for the answer where a model's limit is unknown


class Caller(Protocol):
    """Who called, as far as a tool needs to know."""

    @property
    def name(self) -> str: ...
    @property
    def workspace(self) -> str: ...


class Hub(Protocol):
    """The hub's own state, for the tools about it. Figures of one web process; components as everyone sees them."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def connections(self) -> int: ...
    @property
    def calls_in_flight(self) -> int: ...
    @property
    def draining(self) -> bool: ...
    @property
    def unconfigured_vendors(self) -> dict[str, str]:
        """Vendor -> the setting that would configure it."""
        ...

    def tool_names(self) -> list[str]: ...
    def breaker_state(self, provider: str) -> str:
        """closed, open or half-open; unknown where nothing watches."""
        ...

    async def components(self) -> dict[str, dict[str, Any]]: ...
    async def recent_failures(self, *, workspace: str, most: int) -> list[dict[str, Any]]:
        """Failed calls of the last hour in a workspace, newest first. Raises `ServiceUnavailable` while the database
        is away."""
        ...


class ModelAnswer(msgspec.Struct, kw_only=True):
    text: str
    reasoning: str
    model: str
    provider: str
    usage: Usage
    finish_reason: str
    turns_left_out: int
    sources: tuple[Source, ...] = ()


class ToolContext:
    """One call's. `emit` takes pieces of the answer as they come; None when the caller wants it whole. `last_model`
    answered the last turn: `provider/model`, so that the conversation stays with its vendor."""

    def __init__(
        self,
        *,
        caller: Caller,
        registry: Registry,
        hub: Hub,
        earlier_turns: Sequence[Turn] = (),
        last_model: str = "",
        progress: Callable[[str], Awaitable[None]],
        asker: Asker | None = None,
        emit: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.caller = caller
        self._asker = asker
        self.registry = registry
        self.hub = hub
        self.progress = progress
        self.provider_seconds = 0.0
        self.spending = Spending()
        self.provider_name = ""
        self.model_name = ""
        self._earlier_turns = earlier_turns
        self._last_model = last_model
        self._emit = emit

    async def ask(
        self,
        *,
        system: str,
        prompt: str,
        model: str | None = None,
        temperature: float | None = None,
        thinking: Thinking | None = None,
        web_search: bool = False,
    ) -> ModelAnswer:
        """Asks a model, with the conversation so far as its window allows. `web_search` holds where the model has the
        ability. Raises `HubError`s."""
        served = self._choose(model)
        turns = self._turns_that_fit(served.info, system, prompt)
        messages = [ChatMessage("system", system)]
        for turn in turns:
            messages += (ChatMessage("user", turn.user), ChatMessage("assistant", turn.assistant))
        messages.append(ChatMessage("user", prompt))
        request = ModelRequest(
            served.info.id,
            tuple(messages),
            temperature,
            thinking=thinking,
            web_search=web_search and served.info.web_search,
            asker=self._asker,
        )

        self.provider_name, self.model_name = served.provider.name, served.info.id
        await self.progress(f"Calling {served.info.id}")
        text: list[str] = []
        reasoning: list[str] = []
        started = time.perf_counter()
        try:
            async with aclosing(served.provider.ask(request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        text.append(event.text)
                        if self._emit:
                            await self._emit(event.text)
                    elif isinstance(event, ReasoningDelta):
                        reasoning.append(event.text)
                    else:
                        finished: Finished = event
        finally:
            self.provider_seconds += time.perf_counter() - started
        self.spending.add(
            model=f"{served.provider.name}/{served.info.id}", usage=finished.usage, price=served.info.price
        )
        return ModelAnswer(
            text="".join(text),
            reasoning="".join(reasoning),
            model=served.info.id,
            provider=served.provider.name,
            usage=finished.usage,
            finish_reason=finished.reason,
            turns_left_out=len(self._earlier_turns) - len(turns),
            sources=finished.sources,
        )

    def _choose(self, model: str | None) -> ServedModel:
        if model is not None and model.strip().lower() not in ("", AUTO):
            return self.registry.named(model)
        # Where its provider is gone, whoever else serves the model is nearer than the hub's own choice.
        unqualified = self._last_model.partition("/")[2]
        return self.registry.find(self._last_model) or self.registry.find(unqualified) or self.registry.automatic()

    def _turns_that_fit(self, info: ModelInfo, system: str, prompt: str) -> Sequence[Turn]:
        asked = estimate_tokens(system) + estimate_tokens(prompt) + 2 * TOKENS_PER_MESSAGE
        if asked > info.context:
            raise ContentTooLarge(
                f"The prompt has about {asked} tokens; {info.id} takes {info.context}. "
                "Shorten it, or name a model with a larger context (see listmodels).",
                estimated_tokens=asked,
                limit=info.context,
            )
        reserved = min(info.output or _DEFAULT_ANSWER_TOKENS, info.context // 4)
        return newest_that_fit(self._earlier_turns, info.context - asked - reserved)

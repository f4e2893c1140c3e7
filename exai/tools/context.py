"""What a running tool has at hand: the models, the conversation so far, the caller's ear, the hub's own state."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from exai.protocol.errors import HubError
from exai.protocol.values import FileMention, Turn, Usage
from exai.providers.base import (
    AnswerEvent,
    Asker,
    Finished,
    ModelRequest,
    ReasoningDelta,
    Source,
    TextDelta,
    Thinking,
)
from exai.providers.budget import Asking, FindBudget, Spending
from exai.providers.choice import Choice, Wish, choose
from exai.providers.fallback import Fallback
from exai.providers.registry import Registry, ServedModel
from exai.providers.routes import RouteName
from exai.tools.files import Files, NoFiles
from exai.tools.question import Question, SentFile
from exai.tools.steps import Step
from exai.tools.vendors import NoVendors, Vendors


class Caller(Protocol):
    """Who called, as far as a tool needs to know."""

    @property
    def name(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def is_admin(self) -> bool:
        """Whether it may see and touch what is not its workspace's."""
        ...


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
    async def components(self) -> dict[str, dict[str, Any]]: ...
    async def recent_failures(self, *, workspace: str, most: int) -> list[dict[str, Any]]:
        """Failed calls of the last hour in a workspace, newest first. Raises `ServiceUnavailable` while the database
        is away."""
        ...


class TimeLimit(Protocol):
    """How long the call may take."""

    def left_for(self, factor: float) -> float:
        """The seconds that remain for a model of that `timeout_factor`; the call gets more when it had less."""
        ...


class ModelAnswer(msgspec.Struct, kw_only=True):
    """`why` this model was asked. `fallback_from`: the model that failed before, as `provider/model`; empty: none."""

    text: str
    reasoning: str
    model: str
    provider: str
    usage: Usage
    finish_reason: str
    turns_left_out: int
    files: tuple[SentFile, ...] = ()
    sources: tuple[Source, ...] = ()
    why: str = ""
    fallback_from: str = ""
    fallback_reason: str = ""

    @property
    def choice(self) -> dict[str, str]:
        """How the model was chosen, for the answer's metadata."""
        if not self.fallback_from:
            return {"why": self.why}
        return {"why": self.why, "fallback_from": self.fallback_from, "fallback_reason": self.fallback_reason}

    @property
    def mentions(self) -> tuple[FileMention, ...]:
        """The question's files, for its turn."""
        return tuple(FileMention(file.id, file.name) for file in self.files)


class ToolContext:
    """One call's. `emit` takes pieces of the answer as they come; None when the caller wants it whole. `last_model`
    answered the last turn: `provider/model`, so that the conversation stays with its vendor. `continuation_id` is that
    of the conversation, also of one that begins with this call (`continues` False). `steps`: all that it keeps of this
    tool."""

    def __init__(
        self,
        *,
        caller: Caller,
        registry: Registry,
        hub: Hub,
        earlier_turns: Sequence[Turn] = (),
        last_model: str = "",
        progress: Callable[[str], Awaitable[None]],
        files: Files | None = None,
        asker: Asker | None = None,
        emit: Callable[[str], Awaitable[None]] | None = None,
        limit: TimeLimit | None = None,
        find_budget: FindBudget | None = None,
        call_id: str = "",
        continuation_id: str = "",
        continues: bool = False,
        steps: Sequence[Step] = (),
        vendors: Vendors | None = None,
    ) -> None:
        self.caller = caller
        self.continuation_id = continuation_id
        self.continues = continues
        self.steps = steps
        self.files = files or NoFiles()
        self.vendors = vendors or NoVendors()
        self._asker = asker
        self.registry = registry
        self.hub = hub
        self.progress = progress
        self.provider_seconds = 0.0
        self.provider_name = ""
        self.model_name = ""
        self.spending = Spending(find_budget)
        self._earlier_turns = earlier_turns
        self._last_model = last_model
        self._emit = emit
        self._limit = limit
        self._call_id = call_id

    async def ask(
        self,
        *,
        system: str,
        prompt: str,
        model: str | None = None,
        temperature: float | None = None,
        thinking: Thinking | None = None,
        web_search: bool = False,
        route: RouteName = "fast",
        vendor: str = "",
        files: Sequence[FileMention] = (),
        images: Sequence[FileMention] = (),
        documents: Sequence[str] = (),
        allow_fallback: bool | None = None,
    ) -> ModelAnswer:
        """Asks a model, with the conversation so far as its window allows. `web_search` holds where the model has the
        ability. Raises `HubError`s.

        `route` and `vendor` guide the hub's choice where the caller leaves it; `allow_fallback` as in `Wish`. `files`
        and `images` are the question's, from `self.files.take`; `documents` are what a vendor read out of files, each
        for a system message of its own.
        """
        earlier = self._earlier_turns
        question = Question(
            system=system,
            prompt=prompt,
            turns=earlier,
            store=self.files,
            files=files,
            images=images,
            documents=documents,
        )
        await question.weigh()
        choice = choose(
            self.registry,
            Wish(
                model=model,
                last_model=self._last_model,
                vendor=vendor,
                route=route,
                tokens=question.tokens,
                earlier_tokens=question.earlier_tokens,
                images=question.sees_images,
                allow_fallback=allow_fallback,
            ),
        )
        served, failure, turns = choice.served, None, earlier

        async def begin() -> ModelRequest:
            nonlocal turns
            turns = question.turns_that_fit(served.info)
            messages = await question.messages(turns, served.info)
            request = ModelRequest(
                served.info.id,
                messages,
                temperature,
                thinking=thinking,
                web_search=web_search,  # of models that can
                conversation=self.continuation_id,
            )
            return await self.on_behalf(request, served)

        async def switch(other: ServedModel, failed: HubError) -> ModelRequest:
            nonlocal served, failure
            served, failure = other, failed
            return asking.hand_over(other.info, await begin())

        def more_input() -> int:
            """Of the conversation, where more of it fits the other model."""
            if choice.other is None:
                return 0
            other = choice.other.info
            others = question.tokens_of_turns(question.turns_that_fit(other), other)
            return max(0, others - question.tokens_of_turns(turns, served.info))

        asking: Asking
        text: list[str] = []
        reasoning: list[str] = []
        request = await begin()
        started = time.perf_counter()
        try:
            async with (
                self.spending.of(request, choice.infos, text, reasoning, more_input) as asking,
                aclosing(_events(choice, asking.request, switch)) as events,
            ):
                async for event in events:
                    if isinstance(event, TextDelta):
                        text.append(event.text)
                        await self.emit(event.text)
                    elif isinstance(event, ReasoningDelta):
                        reasoning.append(event.text)
                    else:
                        finished: Finished = event
                        asking.usage = event.usage
        finally:
            self.provider_seconds += time.perf_counter() - started
        return ModelAnswer(
            text="".join(text),
            reasoning="".join(reasoning),
            model=served.info.id,
            provider=served.provider.name,
            usage=finished.usage,
            finish_reason=finished.reason,
            turns_left_out=len(earlier) - len(turns),
            files=question.sent,
            sources=finished.sources,
            why=choice.why,
            fallback_from=choice.served.qualified_name if failure else "",
            fallback_reason=failure.message if failure else "",
        )

    async def on_behalf(self, request: ModelRequest, served: ServedModel) -> ModelRequest:
        """The request as this call's, within the time that it has left. Its caller is told which model is asked."""
        left_s = self._limit.left_for(served.info.timeout_factor) if self._limit else None
        self.provider_name, self.model_name = served.provider.name, served.info.id
        await self.progress(f"Calling {served.info.id}")
        return replace(request, call_id=self._call_id, asker=self._asker, timeout_s=left_s)

    async def emit(self, text: str) -> None:
        """A piece of the answer, for a caller who wants it as it is written."""
        if self._emit:
            await self._emit(text)


def _events(
    choice: Choice, request: ModelRequest, switch: Callable[[ServedModel, HubError], Awaitable[ModelRequest]]
) -> AsyncGenerator[AnswerEvent, None]:
    if choice.other is None:
        return choice.served.provider.ask(request)
    return Fallback(choice.served, request, choice.other, switch).ask()

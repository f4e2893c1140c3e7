"""What a running tool has at hand: the models, the conversation so far, the caller's ear, the hub's own state."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol
from uuid import UUID

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
from exai.providers.budget import SEVERAL, Asking, FindBudget, Spending
from exai.providers.choice import Choice, Wish, choose
from exai.providers.fallback import Fallback
from exai.providers.registry import Registry, ServedModel
from exai.providers.routes import RouteName
from exai.tools.files import Files, NoFiles
from exai.tools.hub import Hub
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

    @property
    def may_use_files(self) -> bool: ...
    @property
    def tool_names(self) -> Sequence[str]:
        """Those that it may call."""
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
        self.spending = Spending(find_budget)
        self._earlier_turns = earlier_turns
        self.last_model = last_model
        self._emit = emit
        self._limit = limit
        self._call_id = call_id
        self._questions = 0
        self._asked: dict[int, ServedModel] = {}  # who answers each question, or failed to
        self.busy = Stopwatch()  # while models are asked

    @property
    def provider_seconds(self) -> float:
        """The time in which models were asked; that of several at once counts once."""
        return self.busy.seconds

    @property
    def provider_name(self) -> str:
        """Who was asked; `several`, where it was more than one."""
        return _one_of({served.provider.name for served in self._asked.values()})

    @property
    def model_name(self) -> str:
        return _one_of({served.info.id for served in self._asked.values()})

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
        documents: Mapping[UUID, str] = {},
        allow_fallback: bool | None = None,
        with_conversation: bool = True,
        share_of_time: float = 1.0,
    ) -> ModelAnswer:
        """Asks a model, with the conversation so far as its window allows. `web_search` holds where the model has the
        ability. Raises `HubError`s. Several may be asked at once, each by a task of its own.

        `route` and `vendor` guide the hub's choice where the caller leaves it; `allow_fallback` as in `Wish`. `files`
        and `images` are the question's, from `self.files.take`; `documents` are what a vendor read out of files,
        by their ids, each for a system message of its own. `share_of_time`: of what is left of the call's.
        """
        earlier = self._earlier_turns if with_conversation else ()
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
                last_model=self.last_model,
                vendor=vendor,
                route=route,
                tokens=question.tokens,
                earlier_tokens=question.earlier_tokens,
                images=question.sees_images,
                allow_fallback=allow_fallback,
            ),
        )
        served, failure, turns = choice.served, None, earlier
        place = self._new_place()

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
            return await self.on_behalf(request, served, place=place, share_of_time=share_of_time)

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
        with self.busy:
            async with (
                self.spending.of(request, choice.infos, text, reasoning, more_input) as asking,
                aclosing(_events(choice, asking.request, switch)) as events,
            ):
                finished = await self.listen(events, asking, text, reasoning)
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

    async def on_behalf(
        self, request: ModelRequest, served: ServedModel, *, place: int | None = None, share_of_time: float = 1.0
    ) -> ModelRequest:
        """The request as this call's, within the time that it has left. Its caller is told which model is asked.
        `place`: among the questions of the call; None: it is another one."""
        place = self._new_place() if place is None else place
        left_s = self._limit.left_for(served.info.timeout_factor) if self._limit else None
        self._asked[place] = served
        await self.progress(f"Calling {served.info.id}")
        return replace(
            request,
            # Vendors tell requests apart by it: each question of a call has its own.
            call_id=f"{self._call_id}-{place + 1}" if place and self._call_id else self._call_id,
            asker=self._asker,
            timeout_s=None if left_s is None else left_s * share_of_time,
        )

    def _new_place(self) -> int:
        self._questions += 1
        return self._questions - 1

    async def listen(
        self, events: AsyncIterable[AnswerEvent], asking: Asking, text: list[str], reasoning: list[str]
    ) -> Finished:
        """Gathers an answer, and passes its text on to a caller who wants it as it is written."""
        async for event in events:
            if isinstance(event, TextDelta):
                text.append(event.text)
                if self._emit:
                    await self._emit(event.text)
            elif isinstance(event, ReasoningDelta):
                reasoning.append(event.text)
            else:
                finished = event
                asking.usage = event.usage
        return finished


class Stopwatch:
    """Runs while at least one is inside."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = 0
        self._since = 0.0

    def __enter__(self) -> None:
        if self._inside == 0:
            self._since = time.perf_counter()
        self._inside += 1

    def __exit__(self, *raised: object) -> None:
        self._inside -= 1
        if self._inside == 0:
            self.seconds += time.perf_counter() - self._since


def _one_of(names: set[str]) -> str:
    if len(names) > 1:
        return SEVERAL
    return next(iter(names), "")


def _events(
    choice: Choice, request: ModelRequest, switch: Callable[[ServedModel, HubError], Awaitable[ModelRequest]]
) -> AsyncGenerator[AnswerEvent, None]:
    if choice.other is None:
        return choice.served.provider.ask(request)
    return Fallback(choice.served, request, choice.other, switch).ask()

"""The interface of a provider: it is asked, and streams its answer."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from exai.protocol.values import Usage

Thinking = Literal["minimal", "low", "medium", "high", "max"]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars per million tokens. `cached` None: cached input costs what other input does. `version` names the
    price, so that a call can say by which one it was computed."""

    input: float
    output: float
    cached: float | None = None
    version: str = ""


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a model. `context` and `output` in tokens; `output` None: the vendor's own limit.

    `price` None: unknown, which is not free. `listed` False: the vendor offers it, and the catalogue does not know it.
    `timeout_factor` multiplies the time that a call may take. `search_requests`: the most requests to the vendor that
    one answer with a web search may take.
    """

    id: str
    context: int
    output: int | None = None
    vision: bool = False
    thinking: bool = False
    tools: bool = False
    web_search: bool = False
    aliases: tuple[str, ...] = ()
    price: Price | None = None
    listed: bool = True
    timeout_factor: float = 1.0
    search_requests: int = 1


class FunctionTool(msgspec.Struct, frozen=True):
    """A function that the model may ask to be called. `parameters`: its JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class FunctionCall(msgspec.Struct, frozen=True):
    """A model's wish to have a function called. `arguments`: JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`images`: `data:` or `https:` URLs, of a user. `calls`, `reasoning`: of an assistant. `answers`: the id of the
    call that a message of the role `tool` answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    images: tuple[str, ...] = ()
    calls: tuple[FunctionCall, ...] = ()
    answers: str = ""
    reasoning: str = ""


class Asker(Protocol):
    """On whose behalf a model is asked. Slots of providers go around sessions."""

    @property
    def session(self) -> str: ...

    def waiting(self, reason: str) -> AbstractAsyncContextManager[None]:
        """Tells the caller what is waited for. The time inside does not count towards the call's timeout."""
        ...


class Effort(msgspec.Struct):
    """What one answer has taken so far, told by the wrappers inside to those outside. `unanswered`: what the vendor
    counted of attempts that did not come to an answer; None: nothing. `headers`: of the vendor's last answer, those
    that anybody may see (exai.providers.safe_headers); None: nobody wants them."""

    attempts: int = 0
    unanswered: Usage | None = None
    headers: dict[str, str] | None = None


class ModelRequest(msgspec.Struct, frozen=True):
    """`call_id` is the same for all attempts at one answer. `conversation` names what may be cached at the vendor, and
    is empty when nothing may. `stream` False asks the vendor for the answer in one piece; the events are the same.
    `timeout_s` bounds all attempts at the answer together; None: nothing does. `tool_choice` as the vendor takes it;
    None: its default."""

    model: str
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_output_tokens: int | None = None
    thinking: Thinking | None = None
    web_search: bool = False
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    stream: bool = True
    call_id: str = ""
    conversation: str = ""
    asker: Asker | None = None
    timeout_s: float | None = None
    effort: Effort = msgspec.field(default_factory=Effort)


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page that a vendor's web search used."""

    url: str
    title: str = ""
    published: str = ""


class Finished(msgspec.Struct, frozen=True):
    """The end of a whole answer. `reason` as the vendor names it: stop, length, tool_calls, …"""

    reason: str
    usage: Usage
    calls: tuple[FunctionCall, ...] = ()
    sources: tuple[Source, ...] = ()


AnswerEvent = TextDelta | ReasoningDelta | Finished


class Provider(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def models(self) -> Sequence[ModelInfo]: ...

    @property
    def is_test(self) -> bool:
        """Whether it only imitates a model; such a one is never chosen by `auto` while a real one is configured."""
        ...

    def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Streams the answer: deltas, then one `Finished`. Raises `HubError`s of exai.protocol.errors.

        Closing the generator (or cancelling its task) closes the connection to the vendor.
        """
        ...

    async def close(self) -> None: ...

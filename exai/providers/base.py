"""The interface of a provider: it is asked, and streams its answer."""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

import msgspec

from exai.protocol.values import Usage


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a model. `context` and `output` in tokens; `output` None: the vendor's own limit."""

    id: str
    context: int
    output: int | None = None
    vision: bool = False
    thinking: bool = False
    aliases: tuple[str, ...] = ()


class ChatMessage(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str


class ModelRequest(msgspec.Struct, frozen=True):
    model: str
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str


class Finished(msgspec.Struct, frozen=True):
    """The end of a whole answer. `reason` as the vendor names it: stop, length, …"""

    reason: str
    usage: Usage


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

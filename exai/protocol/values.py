"""Values that travel inside frames and between the parts of a call."""

from typing import Any, Literal
from uuid import UUID

import msgspec

ContentType = Literal["text", "markdown", "json"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens as the vendor counted them; `None` where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class FileMention(msgspec.Struct, frozen=True):
    """A file of the hub that a message came with, and the name that it was given there."""

    id: UUID
    name: str


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One user message, with the files that were sent with it, and its answer."""

    user: str
    assistant: str
    files: tuple[FileMention, ...] = ()


class ContinuationOffer(msgspec.Struct):
    continuation_id: str
    note: str
    remaining_turns: int


class Envelope(msgspec.Struct):
    """What a tool answers: the text of `outputs[0]`."""

    status: str
    content: str
    content_type: ContentType
    metadata: dict[str, Any]
    continuation_offer: ContinuationOffer | None = None


class LatencyMetrics(msgspec.Struct):
    latency_ms: float
    queue_ms: float
    provider_ms: float
    processing_ms: float
    provider_name: str

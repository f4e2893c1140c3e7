"""What a tool is, and what it answers."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict

from exai.protocol.values import ContentType, Turn, Usage
from exai.tools.context import ToolContext
from exai.tools.steps import Step


class ToolInput(BaseModel):
    """Arguments of a tool. No value is coerced; a field of None counts as absent, as some agents send it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @property
    def wants_stream(self) -> bool:
        return False

    @property
    def conversation_to_continue(self) -> str | None:
        return None


class ToolAnswer(msgspec.Struct, kw_only=True):
    """`turn` is what the conversation keeps; a tool that asked no model has none. `step`: what it keeps of a workflow.
    `fields` stand beside those of the envelope. A `plain` answer is sent as its `content` alone, without the envelope.
    """

    content: str
    status: str = "success"
    content_type: ContentType = "text"
    plain: bool = False
    turn: Turn | None = None
    step: Step | None = None
    fields: dict[str, Any] = {}
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    reasoning: str = ""
    metadata: dict[str, Any] = {}


Input = TypeVar("Input", bound=ToolInput)


class Tool(ABC, Generic[Input]):
    name: ClassVar[str]
    description: ClassVar[str]
    input_model: type[Input]
    keeps_conversation: ClassVar[bool] = False
    keeps_steps: ClassVar[bool] = False  # of a workflow

    @abstractmethod
    async def run(self, arguments: Input, context: ToolContext) -> ToolAnswer:
        """Raises `HubError`s; anything else is a fault of the hub."""


def json_answer(content: Any) -> ToolAnswer:
    """JSON within the envelope."""
    return ToolAnswer(content=msgspec.json.encode(content).decode(), content_type="json")


def plain_json(content: Any) -> ToolAnswer:
    """The answer of the tools about the hub: their own JSON."""
    return ToolAnswer(content=msgspec.json.encode(content).decode(), content_type="json", plain=True)

"""chat: a question to a model, in a conversation that goes on."""

from typing import Annotated, Literal

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.protocol.values import Turn
from exai.tools.base import Tool, ToolAnswer, ToolInput
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt

ThinkingMode = Literal["minimal", "low", "medium", "high", "max"]


class InlineFile(ToolInput):
    model_config = {"extra": "allow"}

    name: str
    content: str


class ChatInput(ToolInput):
    prompt: str = Field(description="The question, with all the context it needs: code, errors, what was tried.")
    files: list[str | InlineFile] | None = Field(None, description="Not taken yet: put the text into the prompt.")
    images: list[str | InlineFile] | None = Field(None, description="Not taken yet.")
    model: str | None = Field(None, description="A model of listmodels; without one the hub chooses.")
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    thinking_mode: ThinkingMode | None = None
    use_websearch: bool | None = True
    stream: bool | None = Field(False, description="Send the answer in pieces as it is written.")
    continuation_id: str | None = Field(None, description="Continues the conversation of an earlier answer.")

    @property
    def wants_stream(self) -> bool:
        return bool(self.stream)

    @property
    def conversation_to_continue(self) -> str | None:
        return self.continuation_id


class Chat(Tool[ChatInput]):
    name = "chat"
    description = (
        "Ask another model: a second opinion, an explanation, a brainstorm, a review of an idea. It sees only the "
        "prompt and, with continuation_id, the conversation so far."
    )
    input_model = ChatInput
    keeps_conversation = True

    _system = prompt("chat")

    async def run(self, arguments: ChatInput, context: ToolContext) -> ToolAnswer:
        if not arguments.prompt.strip():
            raise InvalidValue("The prompt is empty: ask something.", prompt="must not be empty")
        for field in ("files", "images"):
            if getattr(arguments, field):
                raise InvalidValue(
                    f"chat does not take {field} yet: put the text into the prompt.", **{field: "not taken yet"}
                )
        answer = await context.ask(
            system=self._system,
            prompt=arguments.prompt,
            model=arguments.model,
            temperature=arguments.temperature,
        )
        metadata: dict[str, object] = {"finish_reason": answer.finish_reason}
        if answer.turns_left_out:
            metadata["turns_left_out"] = answer.turns_left_out
        if answer.reasoning:
            metadata["reasoning"] = answer.reasoning
        return ToolAnswer(
            content=answer.text,
            content_type="markdown",
            turn=Turn(user=arguments.prompt, assistant=answer.text),
            model=answer.model,
            provider=answer.provider,
            usage=answer.usage,
            reasoning=answer.reasoning,
            metadata=metadata,
        )

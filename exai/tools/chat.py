"""chat: a question to a model, in a conversation that goes on."""

from typing import Annotated

import msgspec
from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.protocol.values import Turn
from exai.providers.base import Thinking
from exai.tools.base import Tool, ToolAnswer, ToolInput
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt


class InlineFile(ToolInput):
    model_config = {"extra": "allow"}

    name: str
    content: str


# Strings first, and no further than the first wrong item: millions of them must not cost seconds of the event loop.
FileReference = Annotated[str | InlineFile, Field(union_mode="left_to_right")]


class ChatInput(ToolInput):
    prompt: str = Field(description="The question, with all the context it needs: code, errors, what was tried.")
    files: list[FileReference] | None = Field(
        None, fail_fast=True, description="Not taken yet: put the text into the prompt."
    )
    images: list[FileReference] | None = Field(None, fail_fast=True, description="Not taken yet.")
    model: str | None = Field(None, description="A model of listmodels; without one the hub chooses.")
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    thinking_mode: Thinking | None = Field(None, description="How much to think, of a model that can be told.")
    use_websearch: bool | None = Field(True, description="Search the web, with a model that can.")
    stream: bool | None = Field(False, description="Send the answer in pieces as it is written.")
    continuation_id: str | None = Field(None, description="Continues the conversation of an earlier answer.")
    allow_fallback: bool | None = Field(
        None, description="Whether another model may answer when this one fails; by default only with `auto`."
    )

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
            thinking=arguments.thinking_mode,
            web_search=arguments.use_websearch is not False,
            allow_fallback=arguments.allow_fallback,
        )
        metadata: dict[str, object] = {"finish_reason": answer.finish_reason, **answer.choice}
        if answer.turns_left_out:
            metadata["turns_left_out"] = answer.turns_left_out
        if answer.reasoning:
            metadata["reasoning"] = answer.reasoning
        if answer.sources:
            metadata["sources"] = [msgspec.to_builtins(source) for source in answer.sources]
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

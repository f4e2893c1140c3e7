"""chat: a question to a model, in a conversation that goes on."""

from typing import Annotated

import msgspec
from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.protocol.values import Turn
from exai.providers.base import Thinking
from exai.tools.base import Tool, ToolAnswer, ToolInput
from exai.tools.context import ToolContext
from exai.tools.files import FileReferences
from exai.tools.prompts import prompt


class ChatInput(ToolInput):
    prompt: str = Field(description="The question, with all the context it needs: code, errors, what was tried.")
    files: FileReferences | None = Field(
        None, description='Each a file id, a data: URL, {"name","content"}, or a path at the hub'
    )
    images: FileReferences | None = Field(None, description="Named like files")
    model: str | None = Field(None, description="Of listmodels; else the hub chooses")
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    thinking_mode: Thinking | None = None
    use_websearch: bool | None = True
    stream: bool | None = Field(False, description="In pieces, as it is written")
    continuation_id: str | None = Field(None, description="From an earlier answer")
    allow_fallback: bool | None = Field(None, description="Another model may answer when this one fails")

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
        "prompt, the files and images that come with it and, with continuation_id, the conversation so far."
    )
    input_model = ChatInput
    keeps_conversation = True

    _system = prompt("chat")

    async def run(self, arguments: ChatInput, context: ToolContext) -> ToolAnswer:
        if not arguments.prompt.strip():
            raise InvalidValue("The prompt is empty: ask something.", prompt="must not be empty")
        taken = await context.files.take({"files": arguments.files or (), "images": arguments.images or ()})
        answer = await context.ask(
            system=self._system,
            prompt=arguments.prompt,
            model=arguments.model,
            temperature=arguments.temperature,
            thinking=arguments.thinking_mode,
            web_search=arguments.use_websearch is not False,
            files=taken["files"],
            images=taken["images"],
            allow_fallback=arguments.allow_fallback,
        )
        metadata: dict[str, object] = {"finish_reason": answer.finish_reason, **answer.choice}
        if answer.files:
            metadata["files"] = [msgspec.to_builtins(file) for file in answer.files]
        if answer.turns_left_out:
            metadata["turns_left_out"] = answer.turns_left_out
        if answer.reasoning:
            metadata["reasoning"] = answer.reasoning
        if answer.sources:
            metadata["sources"] = [msgspec.to_builtins(source) for source in answer.sources]
        return ToolAnswer(
            content=answer.text,
            content_type="markdown",
            turn=Turn(user=arguments.prompt, assistant=answer.text, files=answer.mentions),
            model=answer.model,
            provider=answer.provider,
            usage=answer.usage,
            reasoning=answer.reasoning,
            metadata=metadata,
        )

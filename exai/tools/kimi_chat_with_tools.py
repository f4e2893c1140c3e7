"""kimi_chat_with_tools: messages and functions go to a Kimi model as they are, and its calls come back."""

from typing import Any

import msgspec
from pydantic import Field

from exai.providers.base import ModelRequest
from exai.providers.request_body import assistant_message
from exai.tools.base import Tool, ToolAnswer, plain_json
from exai.tools.context import ToolContext
from exai.tools.direct import ask_directly, model_of
from exai.tools.raw_functions import read_functions
from exai.tools.raw_messages import read_messages
from exai.tools.vendor_input import Messages, Objects, VendorInput

_MODEL = "kimi-k2-0711-preview"


class KimiChatWithToolsInput(VendorInput):
    messages: str | Messages = Field(description="A question, or messages of the OpenAI dialect.")
    model: str = Field(_MODEL, description="A Kimi model; auto: the hub chooses one.")
    tools: Objects = Field(default_factory=list, description="Functions of the OpenAI dialect.")
    tool_choice: str | dict[str, Any] | None = Field(None, description="As in the OpenAI dialect: auto, none, …")
    temperature: float = 0.6
    stream: bool = Field(False, description="Send the answer in pieces as it is written.")
    use_websearch: bool = Field(False, description="Let a model that can search the web.")

    @property
    def wants_stream(self) -> bool:
        return self.stream


class KimiChatWithTools(Tool[KimiChatWithToolsInput]):
    name = "kimi_chat_with_tools"
    description = "One raw request to a Kimi model, with functions of yours that it may ask you to call."
    input_model = KimiChatWithToolsInput

    async def run(self, arguments: KimiChatWithToolsInput, context: ToolContext) -> ToolAnswer:
        messages = read_messages(arguments.messages)
        functions = read_functions(arguments.tools)
        named = arguments.model if "model" in arguments.model_fields_set else ""
        served = model_of(context, vendor="kimi", named=named, default=_MODEL)
        answer = await ask_directly(
            context,
            served,
            ModelRequest(
                served.info.id,
                messages,
                arguments.temperature,
                tools=functions.listed,
                tool_choice=arguments.tool_choice,
                web_search=arguments.use_websearch or functions.web_search,
            ),
        )
        message = assistant_message(text=answer.text, reasoning=answer.reasoning, calls=answer.calls)
        content = {
            "provider": answer.provider,
            "model": answer.model,
            "content": answer.text,
            "tool_calls": message.get("tool_calls", []),
            "usage": answer.usage,
            # Streamed or not, whatever the vendor sent: as one answer of its dialect.
            "raw": {
                "object": "chat.completion",
                "model": answer.model,
                "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            },
        }
        if answer.sources:
            content["sources"] = [msgspec.to_builtins(source) for source in answer.sources]
        told = plain_json(content)
        told.model, told.provider, told.usage = answer.model, answer.provider, answer.usage
        return told

"""glm_payload_preview: the body that GLM would be sent for a question, which is not sent."""

from typing import Any

from pydantic import Field

from exai.providers.base import ChatMessage, ModelRequest
from exai.providers.budget import estimate_input
from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.direct import model_of
from exai.tools.raw_functions import read_functions
from exai.tools.vendor_input import Objects, VendorInput

_MODEL = "glm-4.5-flash"


class GlmPayloadPreviewInput(VendorInput):
    prompt: str
    model: str = Field(_MODEL, description="A GLM model; auto: the hub chooses one.")
    temperature: float = 0.3
    system_prompt: str | None = None
    use_websearch: bool = False
    tools: Objects = Field(default_factory=list, description="Functions of the OpenAI dialect.")
    tool_choice: str | dict[str, Any] | None = None


class GlmPayloadPreview(Tool[GlmPayloadPreviewInput]):
    name = "glm_payload_preview"
    description = "Show the request body that GLM would be sent, without sending it."
    input_model = GlmPayloadPreviewInput

    async def run(self, arguments: GlmPayloadPreviewInput, context: ToolContext) -> ToolAnswer:
        functions = read_functions(arguments.tools)
        named = arguments.model if "model" in arguments.model_fields_set else ""
        served = model_of(context, vendor="glm", named=named, default=_MODEL)
        system = (ChatMessage("system", arguments.system_prompt),) if arguments.system_prompt else ()
        request = ModelRequest(
            served.info.id,
            (*system, ChatMessage("user", arguments.prompt)),
            arguments.temperature,
            tools=functions.listed,
            tool_choice=arguments.tool_choice,
            web_search=arguments.use_websearch or functions.web_search,
        )
        return json_answer(
            {
                "provider": "glm",
                "model": served.info.id,
                "estimated_tokens": estimate_input(request),
                "payload": context.vendors.payload(request, served.info),
            }
        )

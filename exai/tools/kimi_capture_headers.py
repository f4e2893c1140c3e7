"""kimi_capture_headers: what Kimi says beside an answer: limits, ids of requests, context caches."""

from hashlib import sha256

from pydantic import Field

from exai.protocol.errors import HubError
from exai.providers.base import Effort, ModelRequest
from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.direct import ask_directly, model_of
from exai.tools.raw_messages import read_messages
from exai.tools.vendor_input import Objects, VendorInput

_MODEL = "kimi-k2-0711-preview"


class KimiCaptureHeadersInput(VendorInput):
    messages: Objects = Field(description="Messages of the OpenAI dialect.")
    model: str = Field(_MODEL, description="A Kimi model; auto: the hub chooses one.")
    temperature: float = 0.6
    session_id: str | None = Field(None, description="Calls of one session send the context cache token of the last.")
    call_key: str | None = Field(None, description="Tells contexts of a session apart.")
    tool_name: str = Field("kimi_capture_headers", description="Tells contexts of a session apart.")


class KimiCaptureHeaders(Tool[KimiCaptureHeadersInput]):
    name = "kimi_capture_headers"
    description = "Ask a Kimi model and see the answer's HTTP headers: rate limits, request ids, context cache."
    input_model = KimiCaptureHeadersInput

    async def run(self, arguments: KimiCaptureHeadersInput, context: ToolContext) -> ToolAnswer:
        messages = read_messages(arguments.messages)
        named = arguments.model if "model" in arguments.model_fields_set else ""
        served = model_of(context, vendor="kimi", named=named, default=_MODEL)
        effort = Effort(headers={})
        request = ModelRequest(
            served.info.id,
            messages,
            arguments.temperature,
            conversation=_context_name(arguments, context),
            effort=effort,
        )
        try:
            answer = await ask_directly(context, served, request)
        except HubError as error:
            # A refusal's headers tell the most: of a rate limit, for one.
            error.details["headers"] = effort.headers
            raise
        told = json_answer(
            {
                "provider": answer.provider,
                "model": answer.model,
                "content": answer.text,
                "finish_reason": answer.finish_reason,
                "usage": answer.usage,
                "headers": effort.headers,
            }
        )
        told.model, told.provider, told.usage = answer.model, answer.provider, answer.usage
        return told


def _context_name(arguments: KimiCaptureHeadersInput, context: ToolContext) -> str:
    """What the vendor's cache is known by in this process; never another workspace's."""
    given = (arguments.session_id, arguments.call_key)
    if not any(given):
        return ""
    # Its digest: it is kept with the cache token, and the caller's words may be megabytes.
    return sha256(repr((context.caller.workspace, *given, arguments.tool_name)).encode("utf-8", "replace")).hexdigest()

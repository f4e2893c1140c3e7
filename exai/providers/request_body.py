"""A request in the chat-completions dialect. https://platform.openai.com/docs/api-reference/chat/create"""

from typing import Any

from exai.providers.base import ChatMessage, FunctionCall, FunctionTool, ModelRequest

_USAGE_WANTED = {"include_usage": True}


def request_body(request: ModelRequest) -> dict[str, Any]:
    """What every vendor is sent; a dialect adds its own."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_sent(message) for message in request.messages],
        "stream": request.stream,
    }
    if request.stream:
        body["stream_options"] = _USAGE_WANTED
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    return body


def assistant_message(*, text: str, reasoning: str, calls: tuple[FunctionCall, ...]) -> dict[str, Any]:
    """What a model said, to be sent back to it."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    return message


def _sent(message: ChatMessage) -> ChatMessage | dict[str, Any]:
    if message.calls or message.reasoning:
        return assistant_message(text=message.content, reasoning=message.reasoning, calls=message.calls)
    if message.answers:
        return {"role": message.role, "tool_call_id": message.answers, "content": message.content}
    if message.images:
        parts = [{"type": "image_url", "image_url": {"url": image}} for image in message.images]
        text = [{"type": "text", "text": message.content}] if message.content else []
        return {"role": message.role, "content": [*parts, *text]}
    return message  # role and content are all that it holds, by the same names


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _call(call: FunctionCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}

"""Messages as callers of the chat-completions dialect write them, read into the hub's.

https://platform.openai.com/docs/api-reference/chat/create, and `reasoning_content`, which Kimi wants back with calls:
https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model. What else a message holds is passed over.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import ChatMessage, FunctionCall

MOST_MESSAGES = 10_000  # millions, though each is empty, would cost seconds of the event loop


class _Address(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: _Address | str | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Function


class _Message(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


def read_messages(given: str | Sequence[str | dict[str, Any]]) -> tuple[ChatMessage, ...]:
    """A string is a message of the user. Raises `InvalidValue` that tells of the first message that is wrong."""
    listed = [given] if isinstance(given, str) else given
    if not listed:
        raise InvalidValue("There is no message: send one at least.", messages="must not be empty")
    if len(listed) > MOST_MESSAGES:
        reason = f"{len(listed)} are sent; {MOST_MESSAGES} are taken"
        raise InvalidValue(f"Too many messages: {reason}.", messages=reason)
    return tuple(_read(message, f"messages.{number}") for number, message in enumerate(listed))


def _read(given: str | dict[str, Any], place: str) -> ChatMessage:
    if isinstance(given, str):
        return ChatMessage("user", given)
    try:
        message = msgspec.convert(given, _Message)
    except msgspec.ValidationError as error:
        raise _wrong(place, str(error)) from None
    parts = [_Part("text", message.content)] if isinstance(message.content, str) else message.content or []
    texts, images = [], []
    for part in parts:
        if part.type == "text" and part.text is not None:
            texts.append(part.text)
        elif part.type == "image_url" and part.image_url is not None and message.role == "user":
            images.append(part.image_url if isinstance(part.image_url, str) else part.image_url.url)
        else:
            raise _wrong(place, f"A part of the type {part.type[:40]!r} is not taken here; text is, and a user's image")
    if message.role == "tool" and not message.tool_call_id:
        raise _wrong(place, "A message of the role tool needs tool_call_id")
    is_assistant = message.role == "assistant"
    return ChatMessage(
        role=message.role,
        content="\n".join(texts),
        images=tuple(images),
        calls=tuple(_call(call) for call in message.tool_calls or ()) if is_assistant else (),
        answers=message.tool_call_id or "" if message.role == "tool" else "",
        reasoning=message.reasoning_content or "" if is_assistant else "",
    )


def _call(call: _Call) -> FunctionCall:
    return FunctionCall(call.id, call.function.name, call.function.arguments)


def _wrong(place: str, reason: str) -> InvalidValue:
    return InvalidValue(f"{place}: {reason}.", **{place: reason})

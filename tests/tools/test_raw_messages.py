"""Messages of the chat-completions dialect, as callers write them."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ChatMessage, FunctionCall
from exai.tools.raw_messages import read_messages

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize("address", [PICTURE, {"url": PICTURE, "detail": "low"}])
def test_images_of_a_user_are_read(address: object) -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": address}]
    assert read_messages([{"role": "user", "content": parts}]) == (
        ChatMessage("user", "What is it?", images=(PICTURE,)),
    )


def test_an_assistant_may_have_said_nothing_but_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    assert read_messages([message]) == (ChatMessage("assistant", "", calls=(FunctionCall("1", "add", "{}"),)),)


def test_what_belongs_to_another_role_is_passed_over() -> None:
    call = {"id": "1", "function": {"name": "add"}}
    message = {"role": "user", "content": "x", "tool_calls": [call], "tool_call_id": "1", "reasoning_content": "hm"}
    assert read_messages([message]) == (ChatMessage("user", "x"),)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"role": "developer", "content": "x"},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": PICTURE}]},
        {"role": "user", "content": {"text": "x"}},
        {"role": "tool", "content": "x", "tool_call_id": ""},
    ],
)
def test_what_is_no_message_is_refused_by_its_place(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_messages(["hi", message])
    assert list(refused.value.details) == ["messages.1"]

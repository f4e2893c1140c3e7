"""A chunk of a stream, or a whole answer, of the chat-completions dialect, as it stands on the wire."""

import json
from typing import Any

import msgspec


class Content(msgspec.Struct):
    """What is not `content` is of any shape: an odd member beside the text must not cost the text."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None  # OpenRouter's and newer vLLM's name for it
    tool_calls: Any = None


class Choice(msgspec.Struct):
    delta: Content | None = None
    message: Content | None = None
    finish_reason: str | None = None
    usage: Any = None  # Kimi repeats it here


class Completion(msgspec.Struct):
    """Streamed and whole differ in `delta` and `message` only."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    web_search: Any = None  # the pages that GLM found


class NoCompletion(Exception):
    pass


_EMPTY = Completion()
_completions: msgspec.json.Decoder[Completion | None] = msgspec.json.Decoder(Completion | None)


def decode_completion(data: bytes) -> Completion:
    """Raises `NoCompletion`."""
    try:
        return _completions.decode(data) or _EMPTY
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # Half of a surrogate pair is valid for the standard library's reader only; half of a character for neither.
        return msgspec.convert(json.loads(data.decode(errors="replace")), Completion | None) or _EMPTY
    except (ValueError, RecursionError):
        raise NoCompletion from None

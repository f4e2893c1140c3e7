"""Turns a behaviour into the bytes that are sent, and how they end."""

import itertools
import re
from typing import Any, AnyStr, Literal, NamedTuple

import msgspec

from tests.upstream.behaviour import Behaviour, Call, Usage

_encode = msgspec.json.encode
_GARBAGE = b"data: {\xff\xfe not json\n\n<html>\x00upstream\x80</html>\n\n"
_CREATED = 1_760_000_000
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Message(msgspec.Struct):
    role: str
    content: Any = None
    tool_call_id: str | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The part of a chat-completions request that the answer depends on."""

    model: str
    messages: list[Message]
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] = "auto"

    def offers(self, kind: str) -> bool:
        return any(tool.get("type") == kind for tool in self.tools)


class Script(NamedTuple):
    """What is written, one element a write, and what happens then."""

    writes: list[bytes]
    ending: Literal["complete", "stall", "break"] = "complete"
    pause_before_last_s: float | None = None


def stream_script(behaviour: Behaviour, asked: ChatRequest) -> Script:
    behaviour = as_asked(behaviour, asked)
    text = answer_text(behaviour, asked)
    head = _encode({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": _CREATED, "model": asked.model})
    prefix = b"data: " + head[:-1] + b',"choices":[{"index":0,"delta":{'
    thoughts = [
        prefix + b'"reasoning_content":' + _encode(piece) + b'},"finish_reason":null}]}\n\n'
        for piece in _pieces(behaviour.reasoning or "", behaviour.chunks)
    ]
    pieces = [
        prefix + b'"content":' + _encode(piece) + b'},"finish_reason":null}]}\n\n'
        for piece in _pieces(text, behaviour.chunks)
    ]
    pieces += [
        prefix + b'"tool_calls":' + _encode([fragment]) + b'},"finish_reason":null}]}\n\n'
        for index, call in enumerate(behaviour.calls)
        for fragment in _fragments(index, call, behaviour.call_fragments)
    ]
    finish = prefix + b'},"finish_reason":' + _encode(behaviour.finish_reason) + b"}]}\n\n"
    if behaviour.sources:
        # Z.ai sends them with the last choice.
        finish = finish.removesuffix(b"}\n\n") + b',"web_search":' + _encode(behaviour.sources) + b"}\n\n"
    end: list[bytes] = []
    if asked.stream_options and asked.stream_options.include_usage and not behaviour.no_usage:
        usage = _encode(_usage(behaviour, asked, text))
        end.append(b"data: " + head[:-1] + b',"choices":[],"usage":' + usage + b"}\n\n")
    end.append(b"data: [DONE]\n\n")
    last = [b"".join((finish, *end))] if behaviour.after_finish_s is None else [finish, b"".join(end)]
    script = _ended(behaviour, thoughts, pieces, last)
    # The event that names the role travels with the first one that follows it.
    role = prefix + b'"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    return _dressed(behaviour, script._replace(writes=[role + b"".join(script.writes[:1]), *script.writes[1:]]))


def json_script(behaviour: Behaviour, asked: ChatRequest) -> Script:
    """The same answer as one JSON object; for the endings midway it is cut into as many pieces as a stream."""
    behaviour = as_asked(behaviour, asked)
    text = answer_text(behaviour, asked)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if behaviour.reasoning is not None:
        message["reasoning_content"] = behaviour.reasoning
    if behaviour.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": _type(call), "function": {"name": call.name, "arguments": call.arguments}}
            for call in behaviour.calls
        ]
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": _CREATED,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": behaviour.finish_reason}],
    }
    if behaviour.sources:
        answer["web_search"] = behaviour.sources
    if not behaviour.no_usage:
        answer["usage"] = _usage(behaviour, asked, text)
    body = _encode(answer)
    if behaviour.garbage_after_chunks is not None:
        return Script([_GARBAGE])
    if behaviour.fail_in_stream is not None:
        return Script([_encode(_error(behaviour.fail_in_stream, 500))])
    if behaviour.stall_after_chunks is None and behaviour.break_after_chunks is None and not behaviour.chunk_delay_s:
        return Script([body])
    return _ended(behaviour, [], _pieces(body, behaviour.chunks), [])


def error_body(behaviour: Behaviour, status: int) -> bytes:
    body = behaviour.error_body
    if isinstance(body, str):
        return body.encode()
    return _encode(_error(f"The upstream was told to answer {status}", status) if body is None else body)


def as_asked(behaviour: Behaviour, asked: ChatRequest) -> Behaviour:
    """With what the request brings about: a search that comes first, or the pages of one."""
    if behaviour.searches and asked.offers("builtin_function") and asked.tool_choice != "none":
        done = sum(message.role == "tool" for message in asked.messages)
        if done < behaviour.searches:
            behaviour = msgspec.structs.replace(behaviour, calls=(search(done),), text=behaviour.search_text)
    if behaviour.calls:
        behaviour = msgspec.structs.replace(behaviour, text=behaviour.text or "", finish_reason="tool_calls")
    if behaviour.sources and not asked.offers("web_search"):
        behaviour = msgspec.structs.replace(behaviour, sources=())
    return behaviour


def search(number: int) -> Call:
    """The call of a search, whose arguments hold what Moonshot found and are opaque to everybody else."""
    arguments = f'{{"search_result": {{"search_id": "ß{number}"}},  "usage":{{"total_tokens":{number}}}}}'
    return Call(f"$web_search:{number}", "$web_search", arguments)


def wrong_echo(asked: ChatRequest) -> str | None:
    """What is wrong with how searches were answered; Moonshot refuses it."""
    for number, message in enumerate(message for message in asked.messages if message.role == "tool"):
        if asked.offers("builtin_function") and (message.tool_call_id, message.content) != (
            search(number).id,
            search(number).arguments,
        ):
            return f"the answer to search {number} is not its arguments"
    return None


def answer_text(behaviour: Behaviour, asked: ChatRequest) -> str:
    if behaviour.text is not None:
        return behaviour.text
    last = next((message for message in reversed(asked.messages) if message.role == "user"), None)
    return "You said: " + (_text(last.content) if last else "")


def _ended(behaviour: Behaviour, thoughts: list[bytes], pieces: list[bytes], end: list[bytes]) -> Script:
    if behaviour.fail_in_stream is not None:
        event = b"data: " + _encode(_error(behaviour.fail_in_stream, 500)) + b"\n\n"
        return Script([*thoughts, *pieces[:1], event])
    if behaviour.stall_after_chunks is not None:
        return Script([*thoughts, *pieces[: behaviour.stall_after_chunks]], "stall")
    if behaviour.break_after_chunks is not None:
        return Script([*thoughts, *pieces[: behaviour.break_after_chunks]], "break")
    if behaviour.garbage_after_chunks is not None:
        return Script([*thoughts, *pieces[: behaviour.garbage_after_chunks], _GARBAGE])
    return Script([*thoughts, *pieces, *end], pause_before_last_s=behaviour.after_finish_s)


def _dressed(behaviour: Behaviour, script: Script) -> Script:
    writes = script.writes
    if behaviour.comments:
        writes = [(b": ping\n\n" + write).replace(b"\n", b"\r\n") for write in writes]
    if behaviour.split_utf8:
        writes = [part for write in writes for part in awkward_parts(write)]
    return script._replace(writes=writes)


def awkward_parts(data: bytes) -> list[bytes]:
    """The data cut after the first byte of each multi-byte character, after each `\\r`, and three bytes into a line."""
    cuts = {match.end() for match in re.finditer(rb"[\xc2-\xf4]|\r|(?:\A|(?<=\n))[^\n]{3}", data)}
    return [data[start:end] for start, end in itertools.pairwise(sorted(cuts | {0, len(data)}))]


def _fragments(index: int, call: Call, count: int) -> list[dict[str, Any]]:
    begin = {"index": index, "id": call.id, "type": _type(call), "function": {"name": call.name, "arguments": ""}}
    rest = [{"index": index, "function": {"arguments": piece}} for piece in _pieces(call.arguments, count)]
    return [begin, *rest]


def _type(call: Call) -> str:
    return "builtin_function" if call.name.startswith("$") else "function"


def _pieces(whole: AnyStr, count: int) -> list[AnyStr]:
    """Cut into `count` parts of about the same length, fewer when there are not so many characters."""
    count = min(count, len(whole))
    bounds = [len(whole) * index // count for index in range(count + 1)] if count else []
    return [whole[start:end] for start, end in itertools.pairwise(bounds)]


def _usage(behaviour: Behaviour, asked: ChatRequest, text: str) -> dict[str, Any]:
    usage = behaviour.usage
    if usage is None:
        sent = sum(len(_text(message.content)) for message in asked.messages)
        reasoning = len(behaviour.reasoning or "") // 4
        usage = Usage(prompt=sent // 4, completion=len(text) // 4 + reasoning, reasoning=reasoning)
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _text(content: Any) -> str:
    """The text of a message whose content is a string, a list of parts, or absent."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _error(message: str, status: int) -> dict[str, Any]:
    kind = _ERROR_TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}

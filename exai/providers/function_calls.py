"""Function calls of an answer, gathered from the fragments in which they stream, or from a whole message.

Fragments belong together by `index`. Endpoints differ: some leave it out, some give every call the index 0 and tell
them apart by `id`, some write the arguments as an object. https://platform.openai.com/docs/guides/function-calling
"""

import json
from typing import Any

import msgspec

from exai.providers.answer_text import cleaned
from exai.providers.base import FunctionCall

MOST_CALLS = 128  # in one answer


class TooManyCalls(Exception):
    pass


class _Gathered:
    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class CallGatherer:
    def __init__(self) -> None:
        self._calls: list[_Gathered] = []
        self._by_index: dict[int, _Gathered] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, fragments: object) -> int:
        """Takes a `tool_calls` member; gives the bytes that it added. What is no fragment is passed over.

        Raises `TooManyCalls`.
        """
        added = 0
        for fragment in fragments if isinstance(fragments, list) else ():
            if isinstance(fragment, dict):
                function = fragment.get("function")
                added += self._take(fragment, function if isinstance(function, dict) else {})
        return added

    def whole(self) -> tuple[FunctionCall, ...]:
        """The calls in their order. One without a name is none; one without an id gets one."""
        return tuple(
            FunctionCall(cleaned(call.id) or f"call_{number}", cleaned(call.name), cleaned("".join(call.arguments)))
            for number, call in enumerate(self._calls)
            if call.name
        )

    def _take(self, fragment: dict[str, Any], function: dict[str, Any]) -> int:
        call_id, name = _text(fragment.get("id")), _text(function.get("name"))
        call = self._call_of(fragment.get("index"), call_id, name)
        call.id = call.id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = _written(arguments)
        if not isinstance(arguments, str):
            arguments = ""
        call.arguments.append(arguments)
        return len(call_id) + len(name) + len(arguments)

    def _call_of(self, index: object, call_id: str, name: str) -> _Gathered:
        if isinstance(index, int):
            call = self._by_index.get(index)
            if call is None or (call_id and name and call.name and call_id != call.id):
                call = self._by_index[index] = self._new()
            return call
        if name or not self._calls:
            return self._new()
        return self._calls[-1]

    def _new(self) -> _Gathered:
        if len(self._calls) == MOST_CALLS:
            raise TooManyCalls
        self._calls.append(_Gathered())
        return self._calls[-1]


def _written(arguments: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(arguments).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which is mended with the rest
        return json.dumps(arguments, ensure_ascii=False)
    except RecursionError:  # nobody calls a function with that
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

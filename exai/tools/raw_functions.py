"""Functions that a caller offers a model, as the chat-completions dialect writes them, read into the hub's.

https://platform.openai.com/docs/guides/function-calling. The vendors' own web searches stand among them, and are the
hub's to add: https://platform.moonshot.ai/docs/guide/use-web-search, https://docs.z.ai/guides/tools/web-search
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import FunctionTool

MOST_FUNCTIONS = 128
_SEARCH = "$web_search"


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class Functions(msgspec.Struct, frozen=True):
    """`web_search`: whether a vendor's own search is among them."""

    listed: tuple[FunctionTool, ...] = ()
    web_search: bool = False


def read_functions(given: Sequence[dict[str, Any]]) -> Functions:
    """Raises `InvalidValue` that tells of the first that is wrong."""
    if len(given) > MOST_FUNCTIONS:
        reason = f"{len(given)} are offered; a model takes {MOST_FUNCTIONS}"
        raise InvalidValue(f"Too many tools: {reason}.", tools=reason)
    listed: list[FunctionTool] = []
    web_search = False
    for number, one in enumerate(given):
        place = f"tools.{number}"
        try:
            tool = msgspec.convert(one, _Tool)
        except msgspec.ValidationError as error:
            raise _wrong(place, str(error)) from None
        function = tool.function
        if tool.type == "web_search" or (tool.type == "builtin_function" and function and function.name == _SEARCH):
            web_search = True
        elif tool.type != "function" or function is None or not function.name:
            raise _wrong(place, 'Write it as {"type":"function","function":{"name","description","parameters"}}')
        else:
            parameters = function.parameters or {"type": "object", "properties": {}}
            listed.append(FunctionTool(function.name, function.description or "", parameters))
    return Functions(tuple(listed), web_search)


def _wrong(place: str, reason: str) -> InvalidValue:
    return InvalidValue(f"{place}: {reason}.", **{place: reason})

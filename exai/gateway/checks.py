"""What a call must fulfil before anything is done for it."""

from typing import Any

import msgspec
from pydantic import ValidationError

from exai.gateway.running_call import CallRequest
from exai.models import Scope
from exai.protocol.errors import InvalidValue, OverCapacity, ToolNotFound, Unauthorized
from exai.tools.base import Tool, ToolInput
from exai.tools.table import TOOLS_BY_NAME

_SUFFIXES = ("_EXAI-WS", "-EXAI-WS", "_EXAI_WS", "-EXAI_WS")
_LONGEST_SHOWN_NAME = 100
_MOST_SHOWN_REASONS = 50


class CheckedCall(msgspec.Struct, frozen=True):
    tool: Tool[Any]
    arguments: ToolInput


def plain_tool_name(name: str) -> str:
    """The name without what released clients append to it."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def check_call(request: CallRequest, *, largest_arguments: int) -> CheckedCall:
    """The tool and its arguments. Raises `Unauthorized`, `ToolNotFound`, `OverCapacity` or `InvalidValue`."""
    if not request.client.may(Scope.TOOLS):
        raise Unauthorized("This client may not call tools: its token lacks the scope tools.")
    tool = _tool(request)
    arguments = bytes(request.arguments)
    if len(arguments) > largest_arguments:
        raise OverCapacity(
            f"The arguments have {len(arguments)} bytes; at most {largest_arguments} are taken.",
            actual_size=len(arguments),
            limit=largest_arguments,
            reason="arguments_too_large",
        )
    try:
        return CheckedCall(tool, tool.input_model.model_validate_json(arguments))
    except ValidationError as error:
        raise _explained(error, tool) from None


def check_files_allowed(allowed: bool) -> None:
    """Raises `Unauthorized`. `allowed`: whether the client has the scope files, which HTTP asks for likewise."""
    if not allowed:
        raise Unauthorized(
            "This client may not use files: its token lacks the scope files, which an operator can add. "
            "Call without files, or put their text into the prompt."
        )


def _tool(request: CallRequest) -> Tool[Any]:
    client, name = request.client, plain_tool_name(request.tool_name)
    tool = TOOLS_BY_NAME.get(name)
    if tool is None:
        shown = request.tool_name[:_LONGEST_SHOWN_NAME]
        raise ToolNotFound(f"There is no tool {shown!r}. There are: {', '.join(client.tool_names)}.")
    if name not in client.tool_names:
        why = "is denied to this client" if name in client.tools_denied else "is not in this client's profile"
        raise ToolNotFound(
            f"The tool {name} {why} ({client.tool_profile}); an operator can change that. "
            f"There are: {', '.join(client.tool_names)}.",
            profile=client.tool_profile,
        )
    return tool


def _explained(error: ValidationError, tool: Tool[Any]) -> InvalidValue:
    reasons: dict[str, str] = {}
    if (count := error.error_count()) > _MOST_SHOWN_REASONS:
        # To list the millions of a hostile caller takes minutes, in which the process does nothing else.
        reason = f"{count} values are wrong or missing"
        return InvalidValue(f"The arguments of {tool.name} are wrong: {reason}.", arguments=reason)
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in detail["loc"]) or "arguments"
        reasons[field] = detail["msg"].removeprefix("Value error, ")
    listed = "; ".join(f"{field}: {reason}" for field, reason in reasons.items())
    return InvalidValue(f"The arguments of {tool.name} are wrong: {listed}.", **reasons)

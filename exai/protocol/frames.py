"""Every frame of the tool protocol, one class each, named after its `op`.

Requests ignore fields that they do not know (released clients send some); what the hub sends has exactly these.
"""

from typing import Any, Literal

import msgspec

RequestId = str | int


class _Request(msgspec.Struct, tag_field="op", kw_only=True):
    request_id: RequestId | None = None


class ListTools(_Request, tag="list_tools"):
    pass


class CallTool(_Request, tag="call_tool"):
    """`arguments` stays as received: its size is bounded before it is read."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class NamedTool(msgspec.Struct):
    name: str


class ToolCall(_Request, tag="tool_call"):
    """The other spelling of `call_tool`, with the name in `tool` or beside it."""

    name: str | None = None
    tool: NamedTool | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Cancel(_Request, tag="cancel"):
    request_id: RequestId


class Resume(_Request, tag="resume"):
    request_id: RequestId
    after: int = -1


class Ping(_Request, tag="ping"):
    pass


class Health(_Request, tag="health"):
    pass


class RotateToken(_Request, tag="rotate_token"):
    old: str = ""
    new: str = ""


Request = ListTools | CallTool | ToolCall | Cancel | Resume | Ping | Health | RotateToken


class Hello(msgspec.Struct):
    session_id: str
    token: str


class _Answer(msgspec.Struct, tag_field="op", omit_defaults=True, kw_only=True, gc=False):
    request_id: RequestId | None = None


class HelloAck(msgspec.Struct, tag_field="op", tag="hello_ack", omit_defaults=True):
    ok: bool
    session_id: str | None = None
    error: Literal["invalid_hello", "missing_hello", "unauthorized"] | None = None
    protocol: int | None = None
    server: str | None = None


class ToolDescription(msgspec.Struct):
    name: str
    description: str
    inputSchema: dict[str, Any]  # noqa: N815  the protocol's spelling


class ListToolsResult(_Answer, tag="list_tools_res"):
    tools: msgspec.Raw | list[ToolDescription]
    timestamp: str


class CallToolAck(_Answer, tag="call_tool_ack"):
    accepted: Literal[True]
    timeout: float
    name: str
    call_id: str


class Progress(_Answer, tag="progress"):
    """`t`: epoch seconds."""

    name: str
    t: float
    message: str | None = None
    level: str | None = None


class StreamChunk(_Answer, tag="stream_chunk"):
    index: int
    chunk: str
    timestamp: str


class StreamComplete(_Answer, tag="stream_complete"):
    timestamp: str


class TextOutput(msgspec.Struct, tag_field="type", tag="text"):
    text: str
    metadata: dict[str, Any]


class ErrorBody(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    details: dict[str, Any] | None = None


class CallToolResult(_Answer, tag="call_tool_res"):
    ok: bool
    outputs: list[TextOutput]
    error: ErrorBody | None = None


class Cancelled(_Answer, tag="cancelled"):
    found: bool


class Pong(_Answer, tag="pong"):
    timestamp: str


class HealthFigures(msgspec.Struct):
    """`t`: epoch seconds. Figures are this web process's own."""

    t: float
    uptime_human: str
    sessions: int
    global_capacity: int | None
    global_inflight: int
    tool_count: int


class HealthResult(_Answer, tag="health_res"):
    ok: bool
    health: HealthFigures


class RotateTokenResult(_Answer, tag="rotate_token_res"):
    ok: bool
    error: Literal["missing_params", "unauthorized", "weak_token"] | None = None


class ErrorFrame(_Answer, tag="error"):
    error: ErrorBody


Answer = (
    ListToolsResult
    | CallToolAck
    | Progress
    | StreamChunk
    | StreamComplete
    | CallToolResult
    | Cancelled
    | Pong
    | HealthResult
    | RotateTokenResult
    | ErrorFrame
)

"""The last frame of a call: a tool's answer, or the error that took its place, in its envelope."""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import asdict

from exai.protocol.errors import HubError
from exai.protocol.frames import CallToolResult, ErrorBody, ErrorFrame, RequestId, TextOutput
from exai.protocol.values import ContinuationOffer, Envelope, LatencyMetrics, Usage
from exai.tools.base import ToolAnswer

_encoder = msgspec.json.Encoder()


def success(
    request_id: RequestId,
    tool: str,
    answer: ToolAnswer,
    *,
    offer: ContinuationOffer | None,
    stored: bool,
    cost: Decimal | None,
    latency: LatencyMetrics,
) -> CallToolResult:
    """`stored` False: the answer is paid for, but the conversation could not keep it. `cost` in US dollars; None:
    unknown."""
    usage = usage_metadata(answer.usage, cost)
    unstored: dict[str, Any] = {} if stored else {"stored": False}
    if answer.plain:
        text = answer.content
    else:
        may_go_on = offer is not None and answer.status == "success"
        envelope = Envelope(
            status="continuation_available" if may_go_on else answer.status,
            content=answer.content,
            content_type=answer.content_type,
            metadata={
                "tool_name": tool,
                "model_used": answer.model,
                "provider_used": answer.provider,
                "conversation_ready": offer is not None,
                "usage": usage,
                **answer.metadata,
                **unstored,
            },
            continuation_offer=offer,
        )
        fields = answer.fields if offer is not None else _without_way_on(answer.fields, stored=stored)
        text = _encoder.encode({**fields, **asdict(envelope)}).decode()
    metadata: dict[str, Any] = {"latency_metrics": latency, **unstored}
    if answer.model:
        metadata["usage"] = usage
    return CallToolResult(request_id=request_id, ok=True, outputs=[TextOutput(text, metadata)])


def failure(
    request_id: RequestId, tool: str, error: HubError, *, latency: LatencyMetrics | None = None
) -> CallToolResult:
    envelope = Envelope(
        status="error",
        content=error.message,
        content_type="text",
        metadata={"tool_name": tool, "error_code": error.code.value, "conversation_ready": False},
    )
    return CallToolResult(
        request_id=request_id,
        ok=False,
        outputs=[
            TextOutput(_encoder.encode(envelope).decode(), {} if latency is None else {"latency_metrics": latency})
        ],
        error=_body(error),
    )


def error_frame(request_id: RequestId | None, error: HubError) -> ErrorFrame:
    """The answer to a frame that is no call."""
    return ErrorFrame(request_id=request_id, error=_body(error))


def usage_metadata(usage: Usage, cost: Decimal | None) -> dict[str, Any]:
    """Tokens as the vendor counted them, and what they cost in US dollars; None is unknown, which is not free."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": None if cost is None else float(cost),
    }


def _without_way_on(fields: dict[str, Any], *, stored: bool) -> dict[str, Any]:
    """Of a step after which the conversation is full, or that it could not keep: there is nothing to go on from."""
    fields = {name: value for name, value in fields.items() if name != "next_call"}
    return fields if stored or "continuation_id" not in fields else {**fields, "continuation_id": None}


def _body(error: HubError) -> ErrorBody:
    return ErrorBody(error.code.value, error.message, error.details or None)

"""status: what the hub is doing, and what went wrong lately."""

from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, Field

from exai.protocol.errors import ServiceUnavailable
from exai.providers.registry import Registry
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.version import VERSION

_MOST_FAILURES = 500
_DEFAULT_FAILURES = 30


def failures_to_show(tail_lines: int | None, default: int) -> int:
    return max(0, min(default if tail_lines is None else tail_lines, _MOST_FAILURES))


async def failures_if_known(
    context: ToolContext, *, most: int, components: dict[str, dict[str, Any]] | None = None
) -> list[dict[str, Any]] | None:
    """Failed calls of the last hour in the caller's workspace, for an admin in all; None while the database, which
    knows them, is away.

    It is not asked again when it is among `components` and did not answer: that would take its time twice.
    """
    if components and components.get("database", {}).get("status") == "down":
        return None
    try:
        workspace = None if context.caller.is_admin else context.caller.workspace
        return await context.hub.recent_failures(workspace=workspace, most=most)
    except ServiceUnavailable:
        return None


def breakers(registry: Registry) -> dict[str, dict[str, Any]]:
    """Provider -> {state, retry_after_s?}: whether it is asked, or left alone after failures."""
    described: dict[str, dict[str, Any]] = {}
    for provider in registry.providers:
        standing = registry.breaker(provider.name)
        described[provider.name] = {"state": standing.state}
        if standing.state == "open":
            described[provider.name]["retry_after_s"] = round(standing.retry_after_s, 1)
    return described


class StatusInput(ToolInput):
    model_config = ConfigDict(extra="ignore")

    tail_lines: int | None = Field(_DEFAULT_FAILURES, description="How many of the last hour's failed calls to show.")
    include_tools: bool | None = Field(False, description="Also name the tools that you may call.")
    doctor: bool | None = Field(False, description="Also say what is not configured, and which settings are wrong.")
    probe: bool | None = Field(False, description="Also ask each component whether it answers.")


class Status(Tool[StatusInput]):
    name = "status"
    description = "How the hub is: uptime, connections, calls in flight, providers, recent failures of your workspace."
    input_model = StatusInput

    async def run(self, arguments: StatusInput, context: ToolContext) -> ToolAnswer:
        hub = context.hub
        components = await hub.components() if arguments.probe else None
        most = failures_to_show(arguments.tail_lines, _DEFAULT_FAILURES)
        content: dict[str, Any] = {
            "version": VERSION,
            "uptime_s": round((datetime.now(UTC) - hub.started_at).total_seconds()),
            "connections": hub.connections,
            "calls_in_flight": hub.calls_in_flight,
            "draining": hub.draining,
            "providers": [provider.name for provider in context.registry.providers],
            "breakers": breakers(context.registry),
            "auto_model": context.registry.automatic().info.id,
            "failures_last_hour": await failures_if_known(context, most=most, components=components),
        }
        if arguments.include_tools:
            content["tools"] = list(context.caller.tool_names)
        if arguments.doctor:
            content["not_configured"] = hub.unconfigured_vendors
            content["disabled_providers"] = list(context.registry.disabled)
            content["problems"] = list(context.registry.problems)
        if components is not None:
            content["components"] = components
        return plain_json(content)

"""provider_capabilities: who can be asked, for what, within which limits, and who is left alone right now."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from exai.providers.base import ModelInfo
from exai.providers.routes import ROUTE_NAMES
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.tools.status import breakers

_ABILITIES = ("vision", "thinking", "tools", "web_search")


class ProviderCapabilitiesInput(ToolInput):
    include_tools: bool | None = Field(True, description="Also name the tools that you may call.")
    show_advanced: bool | None = Field(False, description="Also the routes of `auto`, and the hub's limits.")
    invalidate_cache: bool | None = Field(False, description="Has nothing to do: the answer is always made anew.")


class ProviderCapabilities(Tool[ProviderCapabilitiesInput]):
    name = "provider_capabilities"
    description = (
        "Each provider with its models' abilities, whether it answers, its limits; and what is not configured. For "
        "prices see listmodels."
    )
    input_model = ProviderCapabilitiesInput

    async def run(self, arguments: ProviderCapabilitiesInput, context: ToolContext) -> ToolAnswer:
        registry, hub = context.registry, context.hub
        states = breakers(registry)
        content: dict[str, Any] = {
            "providers": [
                {
                    "name": provider.name,
                    "healthy": states[provider.name]["state"] != "open",
                    "breaker": states[provider.name],
                    "test_model": provider.is_test,
                    "requests_in_flight_limit": hub.provider_limits.get(provider.name),
                    "abilities": _abilities(provider.models),
                    "models": [_described(info) for info in provider.models],
                }
                for provider in registry.providers
            ],
            "auto": registry.automatic().info.id,
            "not_configured": [
                {"provider": vendor, "set": setting} for vendor, setting in hub.unconfigured_vendors.items()
            ],
            "disabled_providers": list(registry.disabled),
            "problems": list(registry.problems),
        }
        if arguments.include_tools is not False:
            content["tools"] = list(context.caller.tool_names)
        if arguments.show_advanced:
            content["routes"] = {
                name: [served.qualified_name for served in registry.route(name)] for name in ROUTE_NAMES
            }
            content["limits"] = dict(hub.limits)
        if arguments.invalidate_cache:
            content["note"] = "There is nothing to invalidate: what stands here is the state of this moment."
        return plain_json(content)


def _abilities(models: Iterable[ModelInfo]) -> list[str]:
    """Those that at least one of the models has."""
    models = tuple(models)
    return [ability for ability in _ABILITIES if any(getattr(info, ability) for info in models)]


def _described(info: ModelInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "context_tokens": info.context,
        "output_tokens": info.output,
        "abilities": [ability for ability in _ABILITIES if getattr(info, ability)],
    }

"""listmodels: which models can be asked, what they can do and cost, and what is missing for more."""

from functools import lru_cache

import msgspec
from pydantic import Field

from exai.providers.base import Price
from exai.providers.registry import Registry, ServedModel
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext


class ListModelsInput(ToolInput):
    model: str | None = Field(None, description="Ignored.")


class ListModels(Tool[ListModelsInput]):
    name = "listmodels"
    description = "List the models that can be named in `model`: provider, context, abilities, price, aliases."
    input_model = ListModelsInput

    async def run(self, arguments: ListModelsInput, context: ToolContext) -> ToolAnswer:
        registry = context.registry
        states = {provider.name: registry.breaker(provider.name).state for provider in registry.providers}
        return plain_json(
            {
                "models": described_models(registry),
                "auto": registry.automatic().info.id,
                "configured_providers": list(states),
                "providers": [
                    {"name": name, "healthy": state != "open", "breaker": state} for name, state in states.items()
                ],
                "disabled_providers": list(registry.disabled),
                "problems": list(registry.problems),
                "not_configured": [
                    {"provider": vendor, "set": setting} for vendor, setting in context.hub.unconfigured_vendors.items()
                ],
            }
        )


@lru_cache(maxsize=2)
def described_models(registry: Registry) -> msgspec.Raw:
    """JSON, made once a registry: a thousand models take milliseconds. Whoever makes a registry calls this first."""
    return msgspec.Raw(msgspec.json.encode([_described(served) for served in registry]))


def _described(served: ServedModel) -> dict[str, object]:
    info = served.info
    return {
        "id": info.id,
        "provider": served.provider.name,
        "context_tokens": info.context,
        "output_tokens": info.output,
        "vision": info.vision,
        "thinking": info.thinking,
        "tools": info.tools,
        "web_search": info.web_search,
        "price": _price(info.price),
        "aliases": list(info.aliases),
        "listed": info.listed,
        "test_model": served.provider.is_test,
    }


def _price(price: Price | None) -> object:
    """In US dollars per million tokens."""
    if price is None:
        return "unknown"
    cached = price.input if price.cached is None else price.cached
    return {"input": price.input, "cached": cached, "output": price.output, "version": price.version}

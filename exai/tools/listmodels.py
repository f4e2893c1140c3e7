"""listmodels: which models can be asked, and which keys are missing for more."""

from pydantic import Field

from exai.providers.registry import ServedModel
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext


class ListModelsInput(ToolInput):
    model: str | None = Field(None, description="Ignored.")


class ListModels(Tool[ListModelsInput]):
    name = "listmodels"
    description = "List the models that can be named in `model`: provider, context, abilities, aliases."
    input_model = ListModelsInput

    async def run(self, arguments: ListModelsInput, context: ToolContext) -> ToolAnswer:
        models = [_described(served) for served in context.registry]
        return plain_json(
            {
                "models": models,
                "auto": context.registry.automatic().info.id,
                "configured_providers": [provider.name for provider in context.registry.providers],
                "not_configured": [
                    {"provider": vendor, "set": setting} for vendor, setting in context.hub.unconfigured_vendors.items()
                ],
            }
        )


def _described(served: ServedModel) -> dict[str, object]:
    info = served.info
    return {
        "id": info.id,
        "provider": served.provider.name,
        "context_tokens": info.context,
        "output_tokens": info.output,
        "vision": info.vision,
        "thinking": info.thinking,
        "aliases": list(info.aliases),
        "test_model": served.provider.is_test,
    }

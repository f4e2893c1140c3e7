"""kimi_intent_analysis: a Kimi model says what a request needs: which model, how much thought, the web or not."""

import json
from typing import Literal

import msgspec
from pydantic import Field

from exai.protocol.errors import InvalidValue, ProviderFailed
from exai.providers.base import ChatMessage, ModelRequest
from exai.providers.registry import Registry
from exai.tools.base import Tool, ToolAnswer, plain_json
from exai.tools.context import ToolContext
from exai.tools.direct import DirectAnswer, ask_directly, model_of
from exai.tools.prompts import prompt
from exai.tools.vendor_input import VendorInput

_MOST_MODELS = 20  # of a provider, that are told of
_TEMPERATURE = 0.0


class KimiIntentAnalysisInput(VendorInput):
    prompt: str = Field(description="The request to sort.")
    context: str | None = Field(None, description="What it is about.")
    use_websearch: bool = Field(True, description="Let the model search the web, if it can.")


class _Intent(msgspec.Struct):
    needs_websearch: bool
    complexity: Literal["simple", "moderate", "deep"]
    domain: str
    recommended_provider: str
    recommended_model: str
    streaming_preferred: bool
    notes: str = ""


class KimiIntentAnalysis(Tool[KimiIntentAnalysisInput]):
    name = "kimi_intent_analysis"
    description = "Let a Kimi model sort a request: how hard it is, whether it needs the web, which model suits it."
    input_model = KimiIntentAnalysisInput

    _system = prompt("kimi_intent_analysis")

    async def run(self, arguments: KimiIntentAnalysisInput, context: ToolContext) -> ToolAnswer:
        if not arguments.prompt.strip():
            raise InvalidValue("The prompt is empty: send the request to sort.", prompt="must not be empty")
        served = model_of(context, vendor="kimi", named="")
        asked = {"request": arguments.prompt, "context": arguments.context or "", "models": _models(context.registry)}
        messages = (
            ChatMessage("system", self._system),
            ChatMessage("user", msgspec.json.encode(asked).decode()),
        )
        answer = await ask_directly(
            context,
            served,
            ModelRequest(served.info.id, messages, _TEMPERATURE, web_search=arguments.use_websearch),
        )
        intent = _read(answer)
        recommended = context.registry.find(intent.recommended_model)
        if recommended is None:
            intent.recommended_model = intent.recommended_provider = "auto"
        else:
            intent.recommended_model, intent.recommended_provider = recommended.info.id, recommended.provider.name
        told = plain_json({**msgspec.to_builtins(intent), "analysed_by": served.qualified_name})
        told.model, told.provider, told.usage = answer.model, answer.provider, answer.usage
        return told


def _models(registry: Registry) -> list[dict[str, object]]:
    """The first of each provider, so that one with hundreds leaves room for the others."""
    told: dict[str, list[dict[str, object]]] = {}
    for served in registry:
        listed = told.setdefault(served.provider.name, [])
        if served.provider.is_test or len(listed) == _MOST_MODELS:
            continue
        info, price = served.info, served.info.price
        listed.append(
            {
                "provider": served.provider.name,
                "model": info.id,
                "context_tokens": info.context,
                "vision": info.vision,
                "thinking": info.thinking,
                "web_search": info.web_search,
                "dollars_per_million_tokens": [price.input, price.output] if price else None,
            }
        )
    return [model for listed in told.values() for model in listed]


def _read(answer: DirectAnswer) -> _Intent:
    """The first object of the answer, whatever stands around it."""
    try:
        found, _ = json.JSONDecoder().raw_decode(answer.text, answer.text.index("{"))
        return msgspec.convert(found, _Intent)
    except (ValueError, RecursionError):
        raise ProviderFailed(
            f"{answer.model} did not answer with the JSON that it was asked for.",
            provider=answer.provider,
            retryable=True,
            partial_text=answer.text,
        ) from None

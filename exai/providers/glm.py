"""GLM, by Z.ai. https://docs.z.ai/api-reference/llm/chat-completion"""

from collections.abc import Sequence

from exai.providers.base import ModelInfo
from exai.providers.openai_compatible import OpenAICompatible

NAME = "glm"


def glm(
    *, key: str, base_url: str, models: Sequence[ModelInfo], connect_timeout_s: float, read_timeout_s: float
) -> OpenAICompatible:
    return OpenAICompatible(
        name=NAME,
        base_url=base_url,
        key=key,
        key_setting="ZAI_API_KEY",
        models=models,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
    )

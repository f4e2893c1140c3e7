"""Kimi, by Moonshot. https://platform.moonshot.ai/docs/api/chat"""

from collections.abc import Sequence

from exai.providers.base import ModelInfo
from exai.providers.openai_compatible import OpenAICompatible

NAME = "kimi"


def kimi(
    *, key: str, base_url: str, models: Sequence[ModelInfo], connect_timeout_s: float, read_timeout_s: float
) -> OpenAICompatible:
    return OpenAICompatible(
        name=NAME,
        base_url=base_url,
        key=key,
        key_setting="MOONSHOT_API_KEY",
        models=models,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
    )

"""GLM, by Z.ai. https://docs.z.ai/api-reference/llm/chat-completion

Its quirks:
- Models of 4.5 and later think, or do not, as they are told. https://docs.z.ai/guides/capabilities/thinking-mode
- From 4.6 on, function calls stream only when asked to. https://docs.z.ai/guides/tools/stream-tool
- Web search is a tool that Z.ai itself runs; the pages come beside the answer. https://docs.z.ai/guides/tools/web-search
"""

import re
from collections.abc import Sequence
from typing import Any

from exai.providers.base import ModelInfo, ModelRequest
from exai.providers.dialect import Dialect
from exai.providers.openai_compatible import OpenAICompatible

NAME = "glm"
KEY_SETTING = "ZAI_API_KEY"

_VERSION = re.compile(r"glm-(\d{1,3})(?:\.(\d{1,3}))?(?!\d)")
_FIRST_THINKING = (4, 5)
_FIRST_STREAMING_CALLS = (4, 6)


def search_engine(base_url: str) -> str:
    """Z.ai's own; the mainland platform of the same vendor has others.
    https://docs.bigmodel.cn/cn/guide/tools/web-search"""
    return "search_pro" if "bigmodel.cn" in base_url else "search-prime"


class GlmDialect(Dialect):
    def __init__(self, engine: str) -> None:
        search = {
            "enable": True,
            "search_engine": engine,
            "search_result": True,  # the pages come with the answer, …
            "result_sequence": "after",  # … behind it
            "search_recency_filter": "noLimit",
            "content_size": "medium",  # of each page; more is billed as input
        }
        self._search_tool = {"type": "web_search", "web_search": search}

    def complete(self, body: dict[str, Any], request: ModelRequest, info: ModelInfo) -> None:
        version = _version(info.id)
        if request.thinking and version >= _FIRST_THINKING:
            body["thinking"] = {"type": "disabled" if request.thinking == "minimal" else "enabled"}
        if request.tools and request.stream and version >= _FIRST_STREAMING_CALLS:
            body["tool_stream"] = True
        if request.web_search and info.web_search:
            body["tools"] = [*body.get("tools", ()), self._search_tool]


def payload(request: ModelRequest, info: ModelInfo, *, base_url: str) -> dict[str, Any]:
    """The body of a chat-completions request, as GLM at that address would be sent it."""
    return GlmDialect(search_engine(base_url)).body(request, info)


def _version(model: str) -> tuple[int, int]:
    found = _VERSION.match(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def glm(
    *,
    key: str,
    base_url: str,
    models: Sequence[ModelInfo],
    connect_timeout_s: float,
    read_timeout_s: float,
    key_setting: str = KEY_SETTING,
) -> OpenAICompatible:
    return OpenAICompatible(
        name=NAME,
        base_url=base_url,
        key=key,
        key_setting=key_setting,
        models=models,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        dialect=GlmDialect(search_engine(base_url)),
    )

"""Kimi, by Moonshot. https://platform.moonshot.ai/docs/api/chat

Its quirks:
- Web search is a built-in function that the model calls; it is answered by its own arguments, sent back as they are,
  upon which Moonshot searches. https://platform.moonshot.ai/docs/guide/use-web-search
- What a model thought belongs into the message that is sent back with its calls, and models of k2.5 and later search
  only with their thinking off. https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
- Images are sent inline; addresses are not fetched. https://platform.moonshot.ai/docs/guide/use-kimi-vision-model
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from exai.providers.answer_reader import Round
from exai.providers.base import ModelInfo, ModelRequest
from exai.providers.dialect import Dialect, header_id
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.request_body import assistant_message

NAME = "kimi"
KEY_SETTING = "MOONSHOT_API_KEY"
MOST_SEARCHES = 4  # rounds of one answer; in the one after them the model must write what it found
KEPT_CACHE_TOKENS = 1024

_SEARCH = "$web_search"
_SEARCH_TOOL = {"type": "builtin_function", "function": {"name": _SEARCH}}
_CACHE_TOKEN = "Msh-Context-Cache-Token"  # noqa: S105  the name of a header
_SENDABLE_TOKEN = re.compile(r"[!-~]{1,1024}")
# Those before think always or never, by their name.
_THINKS_WHEN_TOLD = re.compile(r"kimi-k(2\.[5-9]|[3-9])")


class KimiDialect(Dialect):
    takes_image_addresses = False
    own_functions = frozenset({_SEARCH})

    def __init__(self) -> None:
        # Of this process only: a token that another one holds, or that was dropped, costs the full price of a prompt,
        # never an answer.
        self._cache_tokens: OrderedDict[tuple[str, str], str] = OrderedDict()

    def complete(self, body: dict[str, Any], request: ModelRequest, info: ModelInfo) -> None:
        searches = request.web_search and info.web_search
        if searches:
            body["tools"] = [*body.get("tools", ()), _SEARCH_TOOL]
        if _THINKS_WHEN_TOLD.match(info.id) and (searches or request.thinking):
            off = searches or request.thinking == "minimal"
            body["thinking"] = {"type": "disabled" if off else "enabled"}

    def headers(self, request: ModelRequest, data: bytes) -> dict[str, str] | None:
        headers = super().headers(request, data) or {}
        if request.call_id:
            # By what is sent, too: a retry has the same, the next round and another question of the call have not.
            headers["Idempotency-Key"] = f"{header_id(request.call_id)}-{zlib.crc32(data):08x}"
        if token := self._cache_tokens.get((request.conversation, request.model)):
            headers[_CACHE_TOKEN] = token
        return headers

    def heard(self, request: ModelRequest, headers: Mapping[str, str]) -> None:
        token = headers.get(_CACHE_TOKEN, "")
        if not request.conversation or not _SENDABLE_TOKEN.fullmatch(token):
            return
        key = request.conversation, request.model
        self._cache_tokens[key] = token
        self._cache_tokens.move_to_end(key)
        if len(self._cache_tokens) > KEPT_CACHE_TOKENS:
            self._cache_tokens.popitem(last=False)

    def go_on(self, body: dict[str, Any], ended: Round, number: int) -> bool:
        if not ended.calls or number > MOST_SEARCHES or _SEARCH_TOOL not in body.get("tools", ()):
            return False
        if any(call.name != _SEARCH for call in ended.calls):
            return False  # functions of the caller are its to answer; the model searches again if it still has to
        said = assistant_message(text=ended.text, reasoning=ended.reasoning, calls=ended.calls)
        for call in said["tool_calls"]:
            call["type"] = _SEARCH_TOOL["type"]
        echoes = (
            {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": call.arguments}
            for call in ended.calls
        )
        body["messages"] = [*body["messages"], said, *echoes]
        if number == MOST_SEARCHES:
            body["tool_choice"] = "none"
        return True


def kimi(
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
        models=[replace(info, search_requests=MOST_SEARCHES + 1) for info in models],
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        dialect=KimiDialect(),
    )

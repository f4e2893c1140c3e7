"""What a vendor does its own way: the hooks that a provider calls, and the plain dialect that any endpoint speaks."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from exai.providers.answer_reader import Round
from exai.providers.base import ModelInfo, ModelRequest, Thinking
from exai.providers.request_body import request_body

# Three efforts are known wherever `reasoning_effort` is: https://platform.openai.com/docs/guides/reasoning
_EFFORTS: dict[Thinking, str] = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "high"}
_PLAIN_ID = re.compile(r"[!-~]{1,128}")


class Dialect:
    """`takes_image_addresses`: whether the vendor fetches images from `https:` URLs. `own_functions`: those that
    `go_on` answers; their calls never reach the caller."""

    takes_image_addresses = True
    own_functions: frozenset[str] = frozenset()

    def body(self, request: ModelRequest, info: ModelInfo) -> dict[str, Any]:
        """What the vendor is sent first."""
        body = request_body(request)
        self.complete(body, request, info)
        if request.tool_choice is not None and "tools" in body:
            body["tool_choice"] = request.tool_choice
        return body

    def complete(self, body: dict[str, Any], request: ModelRequest, info: ModelInfo) -> None:
        """Adds to the plain body what the request wishes and the model is able to."""
        if request.thinking and info.thinking:
            body["reasoning_effort"] = _EFFORTS[request.thinking]

    def headers(self, request: ModelRequest, data: bytes) -> dict[str, str] | None:
        """Headers of one request beside the endpoint's own. `data` is its body."""
        return {"X-Request-Id": header_id(request.call_id)} if request.call_id else None

    def heard(self, request: ModelRequest, headers: Mapping[str, str]) -> None:
        """The headers of an answer."""

    def go_on(self, body: dict[str, Any], ended: Round, number: int) -> bool:
        """Whether another request belongs to the answer after its `number`th round, for which it changes the body."""
        return False


def header_id(call_id: str) -> str:
    """An id that may stand in a header, whatever a caller named its call."""
    return call_id if _PLAIN_ID.fullmatch(call_id) else hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()

"""Asks an endpoint which models it offers: `GET {base}/models`.

The form is OpenAI's, https://platform.openai.com/docs/api-reference/models/list. The size of a model's context stands
beside its id in the lists of vLLM (`max_model_len`, https://docs.vllm.ai/en/latest/serving/openai_compatible_server/)
and of OpenRouter and Kimi (`context_length`, https://openrouter.ai/docs/api-reference/list-available-models).
"""

from typing import Any

import aiohttp
import msgspec

from exai.providers.overrides import OfferedModel

_PATIENCE_S = 10.0
_LARGEST_BODY = 4 * 1024 * 1024
MOST_MODELS = 500
_LONGEST_ID = 200
_CONTEXT_FIELDS = ("context_length", "max_model_len")
_SMALLEST_CONTEXT, _LARGEST_CONTEXT = 256, 100_000_000


class DiscoveryFailed(Exception):
    """The endpoint gave no list of models; the message says why, and holds nothing that the endpoint sent."""


class _Listed(msgspec.Struct):
    data: list[dict[str, Any]]


async def offered_models(*, base_url: str, key: str) -> tuple[OfferedModel, ...]:
    """At most `MOST_MODELS`, in the endpoint's order. Raises `DiscoveryFailed`."""
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(f"{base_url}/models", allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise DiscoveryFailed(f"status {response.status}")
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _LARGEST_BODY:
                    raise DiscoveryFailed("the list is too long")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise DiscoveryFailed(type(error).__name__) from None
    return _parsed(bytes(body))


def _parsed(body: bytes) -> tuple[OfferedModel, ...]:
    try:
        rows = msgspec.json.decode(body, type=_Listed).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DiscoveryFailed("it is no list of models") from None
    offered: dict[str, OfferedModel] = {}
    for row in rows:
        model_id = row.get("id")
        if isinstance(model_id, str) and 0 < len(model_id) <= _LONGEST_ID and model_id.isprintable():
            offered.setdefault(model_id, OfferedModel(model_id, _context(row)))
        if len(offered) == MOST_MODELS:
            break
    return tuple(offered.values())


def _context(row: dict[str, Any]) -> int | None:
    for field in _CONTEXT_FIELDS:
        value = row.get(field)
        if type(value) is int and _SMALLEST_CONTEXT <= value <= _LARGEST_CONTEXT:
            return value
    return None

"""Token counts as vendors tell them. What is no count is unknown: an odd one must not cost an answer."""

from typing import Any

from exai.protocol.values import Usage

_LARGEST = 2**31 - 1  # that the columns of call records hold


def usage_of(told: dict[str, Any]) -> Usage:
    """Reads a `usage` object. Cached tokens stand in its details, or beside them where the vendor is Kimi."""
    prompt, completion = _object(told, "prompt_tokens_details"), _object(told, "completion_tokens_details")
    cached = _count(prompt, "cached_tokens")
    return Usage(
        input_tokens=_count(told, "prompt_tokens"),
        output_tokens=_count(told, "completion_tokens"),
        cached_tokens=_count(told, "cached_tokens") if cached is None else cached,
        reasoning_tokens=_count(completion, "reasoning_tokens"),
    )


def _object(told: dict[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _count(told: dict[str, Any], name: str) -> int | None:
    value = told.get(name)
    # bool is a kind of int.
    return value if type(value) is int and 0 <= value <= _LARGEST else None

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


def sum_of(one: Usage, other: Usage) -> Usage:
    """Of two requests. What one of them does not tell is unknown of both; for the parts, which many vendors leave out
    where they are 0, it counts as 0."""
    return Usage(
        input_tokens=_sum(one.input_tokens, other.input_tokens),
        output_tokens=_sum(one.output_tokens, other.output_tokens),
        cached_tokens=_sum_of_parts(one.cached_tokens, other.cached_tokens),
        reasoning_tokens=_sum_of_parts(one.reasoning_tokens, other.reasoning_tokens),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else min(one + other, _LARGEST)


def _sum_of_parts(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else min((one or 0) + (other or 0), _LARGEST)

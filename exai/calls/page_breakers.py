"""Breakers of providers, for pages."""

from typing import Any

from exai.calls import scripts
from exai.calls.page_redis import page_redis


def open_breakers(url: str) -> dict[str, float]:
    """The providers whose breaker is not closed, with the seconds until a trial. Raises `RedisAway`."""
    with page_redis(url) as redis:
        listed: Any = redis.eval(scripts.BREAKER_LIST.text, 0)
        return {name.decode(): left_ms / 1000 for name, left_ms in zip(listed[::2], listed[1::2], strict=True)}


def close_breaker(url: str, provider: str) -> bool:
    """In all processes; whether it was not closed. Raises `RedisAway`."""
    with page_redis(url) as redis:
        return bool(redis.eval(scripts.BREAKER_RESET.text, 0, provider))

"""What running calls hold of budgets, for pages: synchronous."""

import time
from collections.abc import Sequence
from typing import Any

from exai.calls import keys
from exai.calls.budgets import Account, Amounts
from exai.calls.page_redis import page_redis


def read_held(url: str, accounts: Sequence[Account]) -> list[Amounts]:
    """What is held of each account. Raises `RedisAway`."""
    if not accounts:
        return []
    with page_redis(url) as redis, redis.pipeline(transaction=False) as pipeline:
        now_ms = time.time() * 1000
        for account in accounts:
            pipeline.zrangebyscore(keys.budget_held(account.key), now_ms, "+inf")
        # redis-py's types leave open what comes back.
        replies: list[Any] = pipeline.execute()
    return [sum(map(_amounts, entries), Amounts()) for entries in replies]


def _amounts(entry: bytes) -> Amounts:
    _, tokens, nano = entry.split()
    return Amounts(int(tokens), int(nano))

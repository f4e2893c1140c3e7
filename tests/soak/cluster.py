"""Several web processes behind one Valkey and one PostgreSQL; killed ones are replaced."""

import asyncio
import hashlib
import itertools
import json
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import psycopg
import redis

from tests.hub import RunningHub
from tests.soak.asked import CANCELLABLE, Speaker
from tests.upstream import Upstream

MODELS = ("fast", "slow", "trickling", "failing", "breaking", CANCELLABLE)
# So short that schedules meet them: leases that run out, sessions that are full.
SHORT: dict[str, str] = {
    "EXAI_SLOT_LEASE_SECS": "1",
    "EXAI_WS_PROGRESS_INTERVAL_SECS": "0.2",
    "EXAI_WS_SESSION_MAX_INFLIGHT": "3",
    "EXAI_WS_GLOBAL_MAX_INFLIGHT": "24",
    # Each request at the upstream is one that the hub meant to pay for.
    "EXAI_PROVIDER_RETRIES": "0",
    "EXAI_BREAKER_OPEN_SECS": "0",
}
_numbers = itertools.count()


def endpoint(upstream: Upstream) -> str:
    """The value of EXAI_ENDPOINTS by which the hub finds the upstream."""
    models = [{"id": model, "context": 100_000} for model in MODELS]
    return json.dumps([{"name": "upstream", "url": upstream.url, "key": "sk-upstream-secret", "models": models}])


def teach(upstream: Upstream) -> None:
    """Forgets what came in so far, too."""
    upstream.reset()
    upstream.behave("fast", chunks=3)
    upstream.behave("slow", delay_s=0.4, chunks=4)
    upstream.behave("trickling", chunks=12, chunk_delay_s=0.04)
    upstream.behave("failing", status=500, delay_s=0.05)
    upstream.behave("breaking", chunks=4, chunk_delay_s=0.03, break_after_chunks=2)
    upstream.behave(CANCELLABLE, chunks=4, stall_after_chunks=2)


class Cluster:
    """A context manager that starts and stops the processes."""

    def __init__(self, environment: Mapping[str, str], upstream: Upstream, *, processes: int) -> None:
        self.environment = dict(environment)
        self.upstream = upstream
        self.redis = redis.Redis.from_url(environment["REDIS_URL"], decode_responses=True)
        self.database = psycopg.connect(environment["DATABASE_URL"], autocommit=True)
        self.died_at: dict[int, float] = {}  # pid -> monotonic seconds
        self._count = processes
        self._hubs: list[RunningHub] = []
        self._stack = ExitStack()
        self._starting: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._hubs.append(self._stack.enter_context(RunningHub(self.environment)))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()
        self.database.close()
        self.redis.close()

    @property
    def hubs(self) -> list[RunningHub]:
        """Those that live."""
        return list(self._hubs)

    async def kill(self, hub: RunningHub) -> bool:
        """Ends it as a crash would and starts another; False when it is the last one."""
        if hub not in self._hubs or len(self._hubs) == 1:
            return False
        self._hubs.remove(hub)
        self.died_at[hub.pid] = time.monotonic()
        await asyncio.to_thread(hub.kill)
        task = asyncio.create_task(self._replace())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return True

    async def complete(self) -> None:
        """Waits for the processes that are about to start."""
        await asyncio.gather(*self._starting)

    async def _replace(self) -> None:
        self._hubs.append(await asyncio.to_thread(self._stack.enter_context, RunningHub(self.environment)))

    def make_client(self, *sessions: str) -> list[Speaker]:
        """A new client with these sessions."""
        name = f"soak-{os.getpid()}-{next(_numbers)}"
        token = f"token-of-{name}-which-is-long-enough"
        row = self.database.execute(
            "INSERT INTO clients (name, workspace, token_hash, token_start, scopes, enabled, created_at)"
            " VALUES (%s, %s, %s, %s, '{tools}', true, now()) RETURNING id",
            (name, name, hashlib.sha256(token.encode()).hexdigest(), token[:8]),
        ).fetchone()
        assert row is not None
        return [Speaker(row[0], name, token, session) for session in sessions]

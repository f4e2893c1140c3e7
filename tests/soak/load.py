"""Calls at a steady rate for minutes, with random drops, while memory and keys are watched."""

import asyncio
import random
import re
import time
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from tests.soak.agent import ANSWER_WITHIN_S, Agent, Tally
from tests.soak.batch import left_in_redis
from tests.soak.cluster import Cluster
from tests.upstream import Upstream

RETENTION_S = 60
# Retention apart, everything is as it is delivered: the sessions are so many that none meets a limit.
LOAD_SETTINGS: dict[str, str] = {"EXAI_WS_RESULT_TTL": str(RETENTION_S)}
RAISED_LIMITS: dict[str, str] = {}
PROCESSES = 2
KEPT_KEYS = ("exai:call:*", "exai:named:*", "exai:repeat:*", "exai:asked:*", "exai:kept:*")
_CALLS_PER_SESSION = 10  # a second
_SESSIONS_PER_CLIENT = 5
_SECONDS_BETWEEN_DROPS = 5.0  # of one session, on average
_SAMPLE_EVERY_S = 3.0
_EXPIRED_AFTER_S = 10.0  # past the retention
_COMPLAINT = re.compile(r"warning|error|critical", re.IGNORECASE)
_NAME = re.compile(r"[0-9a-f-]*[0-9][0-9a-f.:TZ-]*")


class Sample(NamedTuple):
    at_s: float
    processes: tuple[int, ...]  # resident bytes of each web process
    redis: int  # bytes used
    keys: int
    asked: int


class Load(NamedTuple):
    tally: Tally
    samples: list[Sample]
    recorded: int
    unfinished: int
    left: list[str]  # in Redis, when everything should have expired
    lasted_s: float
    logged: dict[str, int]  # warnings and errors of the web processes, without their numbers and names


def teach_load(upstream: Upstream) -> None:
    upstream.reset()
    upstream.behave("fast", delay_s=0.02, chunks=3)
    upstream.behave("trickling", chunks=8, chunk_delay_s=0.02)


async def run_load(cluster: Cluster, *, rate: float, duration_s: float, seed: int = 0) -> Load:
    """Waits past the retention at the end, to see what is left then."""
    chance, tally = random.Random(seed), Tally()
    sessions = max(4, round(rate / _CALLS_PER_SESSION))
    names = [f"session-{number}" for number in range(_SESSIONS_PER_CLIENT)]
    clients = [cluster.make_client(*names) for _ in range(-(-sessions // _SESSIONS_PER_CLIENT))]
    speakers = [speaker for client in clients for speaker in client]
    agents = [Agent(speaker, cluster.hubs, tally, chance) for speaker in speakers]
    for agent in agents:
        await agent.connect()
    samples: list[Sample] = []
    began = time.monotonic()
    others = [
        asyncio.create_task(_drop(agents, chance)),
        asyncio.create_task(_sample(cluster, tally, samples, began)),
    ]
    calling: set[asyncio.Task[None]] = set()
    due = began
    while due < began + duration_s:
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(chance.choice(agents).call())
        calling.add(task)
        task.add_done_callback(calling.discard)
    others[0].cancel()
    if calling:
        await asyncio.wait(calling, timeout=ANSWER_WITHIN_S + 1)
    lasted_s = time.monotonic() - began
    others[1].cancel()
    for other in others:
        with suppress(asyncio.CancelledError):
            await other
    await asyncio.gather(*(agent.close() for agent in agents))
    await asyncio.sleep(RETENTION_S + _EXPIRED_AFTER_S)
    recorded, unfinished = _recorded(cluster, sorted({speaker.client_id for speaker in speakers}))
    left = [*left_in_redis(cluster), *_kept_keys(cluster)]
    return Load(tally, samples, recorded, unfinished, left, lasted_s, _logged(cluster))


async def _drop(agents: list[Agent], chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.expovariate(len(agents) / _SECONDS_BETWEEN_DROPS))
        await chance.choice(agents).drop()


async def _sample(cluster: Cluster, tally: Tally, samples: list[Sample], began: float) -> None:
    processes = [psutil.Process(hub.pid) for hub in cluster.hubs]
    while True:
        await asyncio.sleep(_SAMPLE_EVERY_S)
        memory: Any = cluster.redis.info("memory")
        keys: Any = cluster.redis.dbsize()
        resident = tuple(int(process.memory_info().rss) for process in processes)
        samples.append(Sample(time.monotonic() - began, resident, int(memory["used_memory"]), int(keys), tally.asked))


def _recorded(cluster: Cluster, client_ids: list[int]) -> tuple[int, int]:
    row = cluster.database.execute(
        "SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL OR status <> 'succeeded') FROM tool_calls"
        " WHERE client_id = ANY(%s)",
        (client_ids,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _kept_keys(cluster: Cluster) -> list[str]:
    """How many keys of each kind are left. The sum of kept bytes is a number that stays, and must be 0."""
    counts: Counter[str] = Counter()
    for pattern in KEPT_KEYS:
        for key in cluster.redis.scan_iter(pattern, count=1000):
            if key != "exai:kept:bytes" or cluster.redis.get(key) != "0":
                counts[pattern] += 1
    return [f"{count} keys {pattern}" for pattern, count in counts.items()]


def _logged(cluster: Cluster) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for hub in cluster.hubs:
        for line in hub.log_text().splitlines():
            if _COMPLAINT.search(line):
                counts[_NAME.sub("…", line)[:200]] += 1
    return dict(counts.most_common(20))

"""Runs several schedules at once on one cluster, and judges each."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from exai.calls import keys
from tests.soak import oracle
from tests.soak.cluster import Cluster, teach
from tests.soak.finishing import close, finish
from tests.soak.schedule import Schedule
from tests.soak.steps import Step, steps_of

_RECORDED_WITHIN_S = 10.0
_EMPTY_WITHIN_S = 15.0


class Verdict(NamedTuple):
    name: str
    calls: int
    breaches: list[str]
    taken: list[str]

    def __str__(self) -> str:
        return "\n".join([f"schedule {self.name}:", *self.breaches, "It went so:", *self.taken])


async def run_seeds(cluster: Cluster, seeds: Sequence[int]) -> list[Verdict]:
    """The schedules of these seeds, all at once."""
    return await run_schedules(cluster, {f"seed-{seed}": steps_of(seed) for seed in seeds})


async def run_schedules(cluster: Cluster, steps: dict[str, list[Step]]) -> list[Verdict]:
    teach(cluster.upstream)
    await cluster.complete()
    schedules = [Schedule(name, cluster) for name in steps]
    try:
        await asyncio.gather(*(schedule.take(steps[schedule.name]) for schedule in schedules))
        await asyncio.gather(*(finish(schedule) for schedule in schedules))
        asked = Counter(
            oracle.marker_of(request.body) for request in cluster.upstream.requests() if request.method == "POST"
        )
        verdicts = [await _judge(schedule, asked) for schedule in schedules]
    finally:
        await asyncio.gather(*(close(schedule) for schedule in schedules))
    if left := await _left_in_redis(cluster):
        verdicts.append(Verdict("all together", 0, left, []))
    return verdicts


async def _judge(schedule: Schedule, asked: Counter[str]) -> Verdict:
    # Records are written beside the answer, not before it.
    deadline = time.monotonic() + _RECORDED_WITHIN_S
    while (breaches := oracle.breaches(schedule, asked)) and time.monotonic() < deadline:
        if not all(breach.startswith("no records") for breach in breaches):
            break
        await asyncio.sleep(0.1)
    return Verdict(schedule.name, len(schedule.calls), breaches, schedule.taken)


async def _left_in_redis(cluster: Cluster) -> list[str]:
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while True:
        left = left_in_redis(cluster)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.1)


def left_in_redis(cluster: Cluster) -> list[str]:
    """What no call holds any more but that is still there; nothing else uses this database."""
    redis, now_ms, left = cluster.redis, time.time() * 1000, []
    for key in redis.scan_iter(f"{keys.PREFIX}slots:*"):
        is_slots = not str(key).endswith(":held_ms") and redis.type(key) == "zset"
        if is_slots and redis.zcount(key, now_ms, "+inf"):
            left.append(f"slots in use: {key}")
        if ":queue:" in key or key.endswith((":ring", ":waiting")):
            left.append(f"waiting: {key}")
    left += [f"a conversation's lease: {key}" for key in redis.scan_iter(f"{keys.PREFIX}conversation-turn:*")]
    left += [f"running calls: {key}" for key in redis.scan_iter(keys.running_calls("*"))]
    for key in redis.scan_iter(keys.call_state("*"), _type="hash"):
        if redis.hget(key, "state") == "running":
            left.append(f"a call left running: {key}")
    return left

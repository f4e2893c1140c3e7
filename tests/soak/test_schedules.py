"""Callers that drop, resume, repeat, ask again and cancel at random while processes die: nobody waits for ever, pays
twice or sees what is another's."""

import os
from collections.abc import Iterator

import pytest
import redis

from tests.soak.batch import run_seeds
from tests.soak.cluster import SHORT, Cluster, endpoint
from tests.upstream import Upstream

_BATCH = 10


@pytest.fixture(scope="module")
def cluster(hub_environment: dict[str, str], upstream: Upstream) -> Iterator[Cluster]:
    shared = os.environ["REDIS_URL"]
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = shared[: shared.index("db=")] + f"db={12 + worker}"
    with redis.Redis.from_url(url) as own:
        own.flushdb()
    environment = {**hub_environment, **SHORT, "REDIS_URL": url, "EXAI_ENDPOINTS": endpoint(upstream)}
    with Cluster(environment, upstream, processes=3) as cluster:
        yield cluster


@pytest.mark.parametrize("first", range(0, 50, _BATCH))
async def test_every_call_of_a_random_schedule_ends_once_and_leaves_nothing_behind(
    cluster: Cluster, first: int
) -> None:
    verdicts = await run_seeds(cluster, range(first, first + _BATCH))
    failed = [str(verdict) for verdict in verdicts if verdict.breaches]
    assert not failed, "\n\n".join(failed)
    assert sum(verdict.calls for verdict in verdicts) > 5 * _BATCH

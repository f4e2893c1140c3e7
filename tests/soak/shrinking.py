"""Makes a failing schedule shorter: takes steps out for as long as it still fails."""

from tests.soak.batch import run_schedules
from tests.soak.cluster import Cluster
from tests.soak.steps import Step

_MOST_RUNS = 40
_TRIES = 2  # what depends on the moment does not fail every time


async def shrink(cluster: Cluster, name: str, steps: list[Step]) -> list[Step] | None:
    """The shortest schedule found that fails by itself; None when even the whole one does not."""
    if not await _fails(cluster, name, steps):
        return None
    size, runs = len(steps) // 2, 0
    while size >= 1:
        start, shorter = 0, False
        while start < len(steps) and runs < _MOST_RUNS:
            attempt = steps[:start] + steps[start + size :]
            runs += 1
            if attempt and await _fails(cluster, name, attempt):
                steps, shorter = attempt, True
            else:
                start += size
        if not shorter or size > 1:
            size //= 2
    return steps


async def _fails(cluster: Cluster, name: str, steps: list[Step]) -> bool:
    for _ in range(_TRIES):
        if any(verdict.breaches for verdict in await run_schedules(cluster, {name: steps})):
            return True
    return False

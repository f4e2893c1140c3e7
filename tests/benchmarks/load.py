"""Ways to put load on something: one request after the other on so many connections, or arrivals at a given rate.

Latencies are in seconds.
"""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from tests.benchmarks.connections import Answer

Request = Callable[[], Awaitable[Answer]]
_PATIENCE_S = 60.0


class Closed(NamedTuple):
    latencies_s: list[float]
    lasted_s: float

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.lasted_s


async def in_sequence(request: Request, count: int) -> list[float]:
    """Latencies of requests of which each begins when the one before has been answered."""
    latencies = []
    for _ in range(count):
        began = time.perf_counter()
        latencies.append((await request()).end - began)
    return latencies


async def closed_loop(requests: Sequence[Request], seconds: float) -> Closed:
    """Each of these (one a connection) in sequence, all of them at once."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def work(request: Request) -> None:
        while (start := time.perf_counter()) < began + seconds:
            latencies.append((await request()).end - start)

    async with asyncio.timeout(seconds + _PATIENCE_S):
        await asyncio.gather(*(work(request) for request in requests))
    return Closed(latencies, time.perf_counter() - began)


async def open_loop(requests: Sequence[Request], per_second: float, seconds: float, seed: int) -> list[float]:
    """Latencies at Poisson arrivals that wait for no answer, dealt out to the connections in turn.

    Each is counted from the moment at which it should have begun: a request that is late because the load generator
    or its connection was busy counts as slow (no coordinated omission).
    """
    arrivals = _poisson(per_second, seconds, seed)
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Task[float]] = []
    all_begun = asyncio.Event()
    origin = time.perf_counter() + 0.01

    def begin(number: int) -> None:
        answers.append(loop.create_task(_end(requests[number % len(requests)])))
        if number == len(arrivals) - 1:
            all_begun.set()

    def pace() -> None:
        # A thread, because timers of the event loop are a millisecond coarse, as much as what is measured.
        for number, arrival in enumerate(arrivals):
            while (left := origin + arrival - time.perf_counter()) > 0:
                time.sleep(left)
            loop.call_soon_threadsafe(begin, number)

    pacer = threading.Thread(target=pace, daemon=True)
    pacer.start()
    async with asyncio.timeout(seconds + _PATIENCE_S):
        await all_begun.wait()
        ends = await asyncio.gather(*answers)
    pacer.join()
    return [end - (origin + arrival) for end, arrival in zip(ends, arrivals, strict=True)]


async def _end(request: Request) -> float:
    return (await request()).end


def _poisson(per_second: float, seconds: float, seed: int) -> list[float]:
    chance = random.Random(seed)  # the same arrivals for all that are compared
    arrivals: list[float] = []
    at = chance.expovariate(per_second)
    while at < seconds or not arrivals:
        arrivals.append(at)
        at += chance.expovariate(per_second)
    return arrivals


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

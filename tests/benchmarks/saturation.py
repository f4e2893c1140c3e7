"""What one web process can do, and what a call costs it."""

import os

from tests.benchmarks.figures import Side
from tests.benchmarks.load import closed_loop, percentile
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.sides import Connection, Measured, Setting, close_all, open_many

_WARM_UP_S = 0.3


class _Load:
    """The load on one side, put on it in slices that alternate with those of the others."""

    def __init__(self, measured: Measured, connections: list[Connection]) -> None:
        self.side: Side = measured.side
        self.connections = connections
        self.latencies_s: list[float] = []
        self._pid = measured.pid
        self._lasted_s = self._web_s = self._generator_s = 0.0

    async def slice(self, seconds: float) -> None:
        web, generator = cpu_seconds(self._pid), cpu_seconds(os.getpid())
        load = await closed_loop([connection.chat for connection in self.connections], seconds)
        self._web_s += cpu_seconds(self._pid) - web
        self._generator_s += cpu_seconds(os.getpid()) - generator
        self._lasted_s += load.lasted_s
        self.latencies_s += load.latencies_s

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self._lasted_s

    def add_to(self, setting: Setting) -> None:
        samples = setting.samples
        samples.add("calls_per_second", self.side, self.per_second)
        samples.add("cpu_per_call", self.side, self._web_s / len(self.latencies_s) * 1000)
        samples.add("web_busy", self.side, self._web_s / self._lasted_s * 100)
        samples.add("generator_busy", self.side, self._generator_s / self._lasted_s * 100)
        samples.add("saturated_p99", self.side, percentile(self.latencies_s, 99) * 1000)


async def measure_saturation(setting: Setting) -> float:
    """Gives the capacity of the slowest hub, in calls a second."""
    count = setting.plan.connections
    loads = [_Load(hub, [*await open_many(hub.connect, count)]) for hub in setting.hubs]
    loads.append(_Load(setting.echo, [*await open_many(setting.echo.connect, count)]))
    for load in loads:
        await closed_loop([connection.chat for connection in load.connections], _WARM_UP_S)
    for _ in range(setting.plan.slices):
        for load in loads:
            await load.slice(setting.plan.saturated_s / setting.plan.slices)
    for load in loads:
        load.add_to(setting)
        await close_all(load.connections)
    return min(load.per_second for load in loads if load.side != "baseline")

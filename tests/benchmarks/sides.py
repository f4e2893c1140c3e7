"""What a round measures: the hubs, and the baselines beside them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from aiohttp import ClientSession

from tests.benchmarks.connections import Answer, DirectClient, EchoConnection, HubConnection
from tests.benchmarks.figures import Samples, Side
from tests.benchmarks.plan import Plan
from tests.hub import RunningHub
from tests.upstream import Upstream

_CONNECTING_AT_ONCE = 16


class Connection(Protocol):
    """To a hub or to the echo: what can be measured of both."""

    async def chat(self) -> Answer: ...

    async def close(self) -> None: ...


class Measured(Protocol):
    """A process to which connections are opened."""

    side: Side
    pid: int

    async def connect(self) -> Connection: ...


AnyConnection = TypeVar("AnyConnection", bound=Connection)


class HubSide:
    """A running hub of one of the commits."""

    def __init__(self, side: Side, running: RunningHub, token: str, session: ClientSession) -> None:
        self.side = side
        self.pid = running.pid
        self.http_url = running.http_url
        self.token = token
        self._url = running.ws_url
        self._session = session
        self._opened = 0

    async def connect(self) -> HubConnection:
        self._opened += 1
        return await HubConnection.open(self._session, self._url, self.token, f"bench-{self._opened}")


class EchoSide:
    """The bare echo, the baseline of what the web process costs."""

    def __init__(self, running: RunningHub, session: ClientSession) -> None:
        self.side: Side = "baseline"
        self.pid = running.pid
        self.http_url = running.http_url
        self.token = ""
        self._url = running.ws_url
        self._session = session

    async def connect(self) -> EchoConnection:
        return await EchoConnection.open(self._session, self._url)


class Setting(NamedTuple):
    """A round. The hubs are measured in their order, which alternates from round to round."""

    number: int
    plan: Plan
    samples: Samples
    hubs: Sequence[HubSide]
    echo: EchoSide
    direct: DirectClient
    upstream: Upstream


async def open_many(connect: Callable[[], Awaitable[AnyConnection]], count: int) -> list[AnyConnection]:
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def one() -> AnyConnection:
        async with gate:
            return await connect()

    return await asyncio.gather(*(one() for _ in range(count)))


async def close_all(connections: Sequence[Connection]) -> None:
    await asyncio.gather(*(connection.close() for connection in connections))

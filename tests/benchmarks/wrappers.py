"""What the wrappers around a provider cost a call, beside asking the provider itself: all in one process."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from exai.protocol.values import Usage
from exai.providers.base import AnswerEvent, Asker, Finished, ModelInfo, ModelRequest, TextDelta
from exai.providers.breaker import Guarded
from exai.providers.choice import Wish, choose
from exai.providers.local_breakers import LocalBreakers
from exai.providers.metering import Metered, RequestRecord
from exai.providers.registry import Registry
from exai.providers.retry import Retrying, RetryPolicy
from exai.providers.slots import Slotted
from exai.providers.timeout import TimeLimited
from tests.benchmarks.sides import Setting

_CALLS = 2000
_ROUNDS = 5
_EVENTS: tuple[AnswerEvent, ...] = (*(TextDelta("text"),) * 4, Finished("stop", Usage()))


class _Vendor:
    is_test = False
    models = (ModelInfo("model", 8000),)

    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        for event in _EVENTS:
            yield event

    async def close(self) -> None:
        pass


class _Free:
    @asynccontextmanager
    async def slot(self, provider: str, *, most: int, asker: Asker | None) -> AsyncIterator[None]:
        yield


class _Deaf:
    def record(self, record: RequestRecord) -> None:
        pass


async def measure_wrappers(setting: Setting) -> None:
    breakers = LocalBreakers()

    def wrapped(name: str) -> Metered:
        guarded = Guarded(Slotted(_Vendor(name), _Free(), most=8), breakers)
        return Metered(TimeLimited(Retrying(guarded, RetryPolicy())), _Deaf())

    registry = Registry([wrapped("one"), wrapped("two")], breakers=breakers)
    bare = Slotted(_Vendor("bare"), _Free(), most=8)
    all_of_them = await _microseconds(lambda request: choose(registry, Wish()).served.provider.ask(request))
    setting.samples.add("wrappers_cpu", "hub", all_of_them)
    setting.samples.add("wrappers_cpu", "baseline", await _microseconds(bare.ask))
    setting.samples.add("wrappers_added", "hub", all_of_them - await _microseconds(bare.ask))


async def _microseconds(ask: Callable[[ModelRequest], AsyncGenerator[AnswerEvent, None]]) -> float:
    """The least of some rounds: what else the machine does only adds to it."""
    return min([await _round(ask) for _ in range(_ROUNDS)])


async def _round(ask: Callable[[ModelRequest], AsyncGenerator[AnswerEvent, None]]) -> float:
    began = time.process_time()
    for _ in range(_CALLS):
        async with aclosing(ask(ModelRequest("model", (), timeout_s=300))) as events:
            async for _event in events:
                pass
    return (time.process_time() - began) / _CALLS * 1e6

"""What the endpoints say that they offer, asked in the background: nothing waits for it, a failure changes nothing."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from exai.provider_config.plans import ProviderPlan
from exai.providers.discovery import DiscoveryFailed, offered_models
from exai.providers.overrides import OfferedModel

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 4


@dataclass(frozen=True)
class _Target:
    base_url: str
    key: str = field(repr=False)


class Discoveries:
    """Asks each endpoint when it is new or changed, and every `every_s` seconds; 0: never. `on_change` is called when
    an endpoint offers something else than before."""

    def __init__(self, *, every_s: float, on_change: Callable[[], None]) -> None:
        self._every_s = every_s
        self._on_change = on_change
        self._asking: dict[str, tuple[_Target, asyncio.Task[None]]] = {}
        self._offered: dict[str, tuple[OfferedModel, ...]] = {}
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    @property
    def offered(self) -> Mapping[str, tuple[OfferedModel, ...]]:
        """What each endpoint offered last, by its name."""
        return dict(self._offered)

    def see_to(self, plans: Iterable[ProviderPlan]) -> None:
        """From now on these endpoints are asked, and no others."""
        if not self._every_s:
            return
        wanted = {plan.name: _Target(plan.base_url, plan.key) for plan in plans}
        for name, (target, task) in list(self._asking.items()):
            now = wanted.get(name)
            if now != target:
                task.cancel()
                del self._asking[name]
                # With a new key it offers what it did, until it says otherwise.
                if now is None or now.base_url != target.base_url:
                    self._offered.pop(name, None)
        for name, target in wanted.items():
            if name not in self._asking:
                self._asking[name] = target, asyncio.create_task(self._keep_asking(name, target))

    async def close(self) -> None:
        tasks = [task for _, task in self._asking.values()]
        self._asking.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_asking(self, name: str, target: _Target) -> None:
        while True:
            try:
                async with self._at_once:
                    offered = await offered_models(base_url=target.base_url, key=target.key)
            except DiscoveryFailed as failed:
                # What it offered before stays: a short outage must not take models away.
                logger.info("%s does not tell which models it offers: %s", name, failed)
            except Exception:  # the next round may be better
                logger.exception("The models that %s offers could not be read", name)
            else:
                if offered != self._offered.get(name):
                    self._offered[name] = offered
                    self._on_change()
            await asyncio.sleep(self._every_s)

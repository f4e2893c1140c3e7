"""The registry that calls use now, made anew whenever what it is made of changes.

The tables are looked at twice a second, as connected clients are (exai.gateway.presence): so a change counts everywhere
within a second, whoever made it and however (the admin, a command, SQL), without Redis, and nothing needs to be told.
A registry is never changed: calls that run keep the one that they began with, and a provider that is in no newer one
is closed when the last of them has ended.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from exai.database import Database, DatabaseAway
from exai.live_registry.discoveries import Discoveries
from exai.logs import hide_from_logs
from exai.provider_config.plans import ProviderPlan, ProviderPlans, plan_providers
from exai.provider_config.tables import REVISION, TABLES, ProviderTables, parse_tables
from exai.providers.base import Provider
from exai.providers.catalogue import load_catalogue
from exai.providers.registry import Registry
from exai.settings.providers import ProviderSettings
from exai.tools.listmodels import described_models
from exai.wiring import Wiring

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.4
_LOOK_PATIENCE_S = 2.0
_FIRST_LOAD_PATIENCE_S = 5.0


class _Generation:
    """A registry and the calls that use it."""

    def __init__(self, registry: Registry, built: dict[ProviderPlan, Provider], plans: ProviderPlans) -> None:
        self.registry = registry
        self.built = built
        self.plans = plans
        self.users = 0


class LiveRegistry:
    """Belongs to the event loop that uses it first. Raises `CatalogueError` when it is made and the catalogue file is
    wrong."""

    def __init__(self, *, settings: ProviderSettings, database: Database, wiring: Wiring, hub_secret: str) -> None:
        self._settings = settings
        self._database = database
        self._wiring = wiring
        self._hub_secret = hub_secret
        self._catalogue = load_catalogue(settings.catalogue_file)
        self._current: _Generation | None = None
        self._retired: list[_Generation] = []
        self._revision: int | None = None
        self._next_price_at: datetime | None = None
        self._loaded = asyncio.Event()
        self._changed = asyncio.Event()
        self._has_new_offers = False
        self._discoveries = Discoveries(every_s=settings.discovery_secs, on_change=self._changed.set)
        self._watching: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._failing = False

    @property
    def unconfigured_vendors(self) -> dict[str, str]:
        """Vendor -> the setting whose key would add it."""
        return dict(self._current.plans.unconfigured) if self._current else {}

    def plan(self, provider: str) -> ProviderPlan | None:
        """What is configured of that provider now; None: it is not, or is off."""
        plans = self._current.plans.providers if self._current else ()
        return next((plan for plan in plans if plan.name == provider), None)

    @property
    def provider_limits(self) -> dict[str, int]:
        """Provider -> the requests to it that may be in flight, in all processes."""
        return {plan.name: plan.max_inflight for plan in self._current.plans.providers} if self._current else {}

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Registry]:
        """The registry as it is now, whole; its providers stay open for as long as this lasts. Raises `DatabaseAway`
        while the tables have not been read yet."""
        if self._current is None:
            await self.ready()
        generation = self._current
        if generation is None:
            raise DatabaseAway
        generation.users += 1
        try:
            yield generation.registry
        finally:
            generation.users -= 1
            if generation is not self._current:
                self._close_unused()

    async def ready(self) -> None:
        """Begins to watch, and waits until the tables have been read once. Raises `DatabaseAway`."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(_FIRST_LOAD_PATIENCE_S):
                await self._loaded.wait()
        except TimeoutError:
            raise DatabaseAway from None

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._discoveries.close()
        generations = [*self._retired, *([self._current] if self._current else [])]
        for provider in {id(provider): provider for each in generations for provider in each.built.values()}.values():
            await provider.close()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
                self._failing = False
            except DatabaseAway:
                pass  # which it has logged itself; what is known stays in force
            except Exception:  # a watch that ended would leave every later change unseen
                if not self._failing:
                    logger.exception("The provider tables cannot be read; what was read before stays in force")
                self._failing = True
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL_S):
                    await self._changed.wait()

    async def _look(self) -> None:
        if self._changed.is_set():
            self._changed.clear()
            self._has_new_offers = True  # until a registry knows of them, however often that fails
        ((revision,),) = await self._database.fetch(REVISION, within_s=_LOOK_PATIENCE_S)
        due = self._next_price_at is not None and datetime.now(UTC) >= self._next_price_at
        if revision != self._revision or self._has_new_offers or due:
            await self._load()
            self._has_new_offers = False

    async def _load(self) -> None:
        ((text,),) = await self._database.fetch(TABLES, within_s=_LOOK_PATIENCE_S)
        # Hundreds of models take milliseconds, which are the event loop's only with none running.
        tables, plans, built, registry = await asyncio.to_thread(self._build, text)
        hide_from_logs(plan.key for plan in plans.providers)
        self._swap(_Generation(registry, built, plans))
        self._revision, self._next_price_at = tables.revision, tables.next_price_at
        self._discoveries.see_to(plans.providers)

    def _build(self, text: str) -> tuple[ProviderTables, ProviderPlans, dict[ProviderPlan, Provider], Registry]:
        tables = parse_tables(text)
        plans = plan_providers(
            self._settings,
            self._catalogue,
            tables=tables,
            offered=self._discoveries.offered,
            hub_secret=self._hub_secret,
        )
        before = self._current.built if self._current else {}
        built = {plan: before.get(plan) or self._wiring.provider(plan) for plan in plans.providers}
        registry = self._wiring.registry(plans, list(built.values()))
        described_models(registry)
        return tables, plans, built, registry

    def _swap(self, new: _Generation) -> None:
        old, self._current = self._current, new
        self._loaded.set()
        if old is not None:
            self._retired.append(old)
            self._close_unused()
        for problem in new.plans.problems:
            if old is None or problem not in old.plans.problems:
                logger.error("%s", problem)

    def _close_unused(self) -> None:
        """Closes what no call and no newer registry uses any more."""
        ended = [each for each in self._retired if not each.users]
        self._retired = [each for each in self._retired if each.users]
        living = [*self._retired, *([self._current] if self._current else [])]
        used = {id(provider) for each in living for provider in each.built.values()}
        unused = {id(provider): provider for each in ended for provider in each.built.values()}
        for identity, provider in unused.items():
            if identity not in used:
                task = asyncio.create_task(provider.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

"""The parts of the gateway, put together once a process at its first use: no server needs to start them."""

import asyncio
from functools import cache, partial
from pathlib import Path

from django.conf import settings as django_settings

from conversations.files.blobs import hub_blobs
from conversations.files.store import FileStore
from conversations.files.vendor_copies import VendorCopies
from conversations.ledger import read_ledger
from exai.calls.admission import Admission
from exai.calls.breakers import SharedBreakers
from exai.calls.budgets import BudgetCounters
from exai.calls.kept_calls import KeptCalls
from exai.calls.process import Process
from exai.calls.provider_slots import SharedProviderSlots
from exai.calls.redis_link import RedisLink
from exai.calls.waiting import Grants
from exai.database import Database
from exai.gateway.budget_limits import BudgetLimits
from exai.gateway.call_files import CallFiles
from exai.gateway.call_records import CallRecords
from exai.gateway.call_vendors import CallVendors
from exai.gateway.cancelling import Cancelling
from exai.gateway.executor import Executor
from exai.gateway.file_reader import FileReader
from exai.gateway.hub import HubState
from exai.gateway.presence import Presence
from exai.gateway.reaper import Reaper
from exai.live_registry.live_registry import LiveRegistry
from exai.settings.hub import HubSettings, env_file, hub_settings
from exai.wiring import Wiring, breaker_rules


class Gateway:
    def __init__(self, settings: HubSettings) -> None:
        if settings.database_url is None or settings.redis_url is None:
            raise RuntimeError("The web process needs DATABASE_URL and REDIS_URL; `manage.py up` sets them.")
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
        self.files = FileStore(self.database, hub_blobs(), settings)
        self.link = RedisLink(settings.redis_url.get_secret_value())
        self.process = Process(self.link, lease_s=settings.slot_lease_secs)
        grants = Grants(self.link, self.process)
        slots = SharedProviderSlots(
            self.link,
            self.process,
            grants,
            longest_wait_s=settings.capacity_wait_secs,
            most_waiting=settings.max_waiting,
        )
        self.registry = LiveRegistry(
            settings=settings,
            database=self.database,
            wiring=Wiring(settings, slots, breakers=SharedBreakers(self.link, self.process, breaker_rules(settings))),
            hub_secret=django_settings.SECRET_KEY,
        )
        self.presence = Presence(settings=settings, database=self.database, link=self.link, process=self.process)
        self.hub = HubState(
            database=self.database,
            link=self.link,
            presence=self.presence,
            settings=settings,
            registry=self.registry,
            blobs=hub_blobs(),
        )
        self.admission = Admission(
            self.link,
            self.process,
            grants,
            longest_wait_s=settings.capacity_wait_secs,
            most_waiting=settings.max_waiting,
            retention_s=settings.result_ttl,
            call_timeout_s=settings.tool_timeout_secs,
        )
        self.kept = KeptCalls(
            self.link,
            self.process,
            retention_s=settings.result_ttl,
            most_bytes=settings.call_state_max_mb * 1024 * 1024,
        )
        records = CallRecords(self.database)
        limits = BudgetLimits(self.database)
        self.presence.on_check(limits.refresh)
        counters = BudgetCounters(
            self.link, self.process, read_ledger=lambda account: read_ledger(self.database, account)
        )
        self.reader = FileReader(self.files, self.database)
        reaper = Reaper(link=self.link, process=self.process, kept=self.kept, records=records, counters=counters)
        self.process.on_dead(reaper.see_to)
        self.executor = Executor(
            settings=settings,
            database=self.database,
            admission=self.admission,
            kept=self.kept,
            records=records,
            registry=self.registry,
            limits=limits,
            counters=counters,
            hub=self.hub,
            files=partial(
                CallFiles,
                store=self.files,
                reader=self.reader,
                roots=tuple(map(Path, settings.file_roots)),
                # Keys, tokens, and the files of all workspaces: a folder that holds the hub too does not give them out.
                closed=(settings.data_dir, env_file()),
            ),
            vendors=partial(
                CallVendors,
                settings=settings,
                registry=self.registry,
                database=self.database,
                store=self.files,
                copies=VendorCopies(self.database, self.files, valid_s=settings.vendor_file_hours * 3600),
            ),
        )
        reaper.watch_own(self.executor.runs_here)
        self.process.on("cancel", self.executor.cancel)
        self.cancelling = Cancelling(kept=self.kept, process=self.process, executor=self.executor)

    async def drain(self) -> None:
        """Ends the work of this process: no new calls, running ones finish, then every connection is closed."""
        self.hub.draining = True
        await asyncio.gather(
            self.executor.drain(within_s=self.settings.drain_secs), self.files.drain(within_s=self.settings.drain_secs)
        )
        await self.presence.close_all()
        await self.process.stop()

    async def close(self) -> None:
        await self.registry.close()
        await self.link.close()
        await self.database.close()


@cache
def gateway() -> Gateway:
    """This process's gateway."""
    return Gateway(hub_settings())

"""Removes copies of files at the vendors that are configured, once the files themselves are gone."""

import asyncio
from functools import cached_property

from conversations.files.cleanup import CopyNotRemoved
from exai.protocol.errors import HubError
from exai.provider_config.overview import plans_in_force
from exai.provider_config.plans import ProviderPlan
from exai.settings.providers import ProviderSettings
from exai.wiring import vendor_files

_GONE = 404


class ConfiguredVendors:
    """Implements `conversations.files.cleanup.Vendors`."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings

    def remove(self, vendor: str, copy_id: str) -> None:
        """A copy at a vendor that is not configured any more is as good as removed: nobody can ask for it."""
        plan = self._plans.get(vendor)
        if plan is not None:
            asyncio.run(self._remove(plan, copy_id))

    @cached_property
    def _plans(self) -> dict[str, ProviderPlan]:
        return {plan.name: plan for plan in plans_in_force(self._settings).providers}

    async def _remove(self, plan: ProviderPlan, copy_id: str) -> None:
        files = vendor_files(self._settings, plan)
        if files is None:
            return
        try:
            await files.delete(copy_id)
        except HubError as error:
            if error.details.get("status") != _GONE:
                raise CopyNotRemoved(error.message) from None
        finally:
            await files.close()

"""Builds the providers from what is configured: the one place that knows both."""

from collections.abc import Callable, Sequence
from functools import partial

from exai.provider_config.plans import ProviderPlan, ProviderPlans, plan_providers
from exai.providers.base import Provider
from exai.providers.catalogue import load_catalogue
from exai.providers.echo import Echo
from exai.providers.glm import glm
from exai.providers.kimi import kimi
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.registry import Registry
from exai.providers.slots import ProviderSlots, Slotted
from exai.settings.providers import ProviderSettings

Wrap = Callable[[Provider, int], Provider]


class Wiring:
    """Makes providers and registries; what they share lives here, and outlives each of them."""

    def __init__(self, settings: ProviderSettings, slots: ProviderSlots) -> None:
        self._settings = settings
        self._wrap = wrapping(slots)

    def provider(self, plan: ProviderPlan) -> Provider:
        """A provider that is asked for nothing yet: it opens its connections at its first request."""
        vendor = _vendor(plan.name)(
            base_url=plan.base_url,
            key=plan.key,
            models=plan.models,
            connect_timeout_s=self._settings.connect_timeout_secs,
            read_timeout_s=self._settings.read_timeout_secs,
            key_setting=plan.key_setting,
        )
        return self._wrap(vendor, plan.max_inflight)

    def registry(self, plans: ProviderPlans, providers: Sequence[Provider]) -> Registry:
        """The model map, made once all providers are there."""
        return Registry([*providers, Echo()], routes=plans.routes, problems=plans.problems, disabled=plans.disabled)


def wrapping(slots: ProviderSlots) -> Wrap:
    """Wraps a vendor of so many requests in flight in all that stands around it."""
    return lambda vendor, most: Slotted(vendor, slots, most=most)


def build_registry(settings: ProviderSettings, slots: ProviderSlots) -> Registry:
    """The providers that the settings alone configure. Raises `CatalogueError`."""
    wiring = Wiring(settings, slots)
    plans = plan_providers(settings, load_catalogue(settings.catalogue_file))
    return wiring.registry(plans, [wiring.provider(plan) for plan in plans.providers])


def _vendor(name: str) -> Callable[..., Provider]:
    return {"kimi": kimi, "glm": glm}.get(name) or partial(OpenAICompatible, name=name)

"""Builds the providers from what is configured: the one place that knows both."""

from collections.abc import Callable
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


def build_registry(settings: ProviderSettings, slots: ProviderSlots) -> Registry:
    """The providers that the settings alone configure. Raises `CatalogueError`."""
    plans = plan_providers(settings, load_catalogue(settings.catalogue_file))
    return registry_of(plans, [build_provider(plan, settings, slots) for plan in plans.providers])


def registry_of(plans: ProviderPlans, providers: list[Provider]) -> Registry:
    """The model map, made once all providers are there."""
    return Registry([*providers, Echo()], routes=plans.routes, problems=plans.problems, disabled=plans.disabled)


def build_provider(plan: ProviderPlan, settings: ProviderSettings, slots: ProviderSlots) -> Provider:
    """A provider that is asked for nothing yet: it opens its connections at its first request."""
    vendor = _vendor(plan.name)(
        base_url=plan.base_url,
        key=plan.key,
        models=plan.models,
        connect_timeout_s=settings.connect_timeout_secs,
        read_timeout_s=settings.read_timeout_secs,
        key_setting=plan.key_setting,
    )
    return wrapped(vendor, slots, most=plan.max_inflight)


def wrapped(vendor: Provider, slots: ProviderSlots, *, most: int) -> Provider:
    """A vendor with all that stands around it."""
    return Slotted(vendor, slots, most=most)


def _vendor(name: str) -> Callable[..., Provider]:
    return {"kimi": kimi, "glm": glm}.get(name) or partial(OpenAICompatible, name=name)

"""Builds the providers from what is configured: the one place that knows both."""

from collections.abc import Callable, Sequence
from functools import partial

from exai.provider_config.plans import ProviderPlan, ProviderPlans, plan_providers
from exai.providers.base import Provider
from exai.providers.breaker import BreakerRules, Breakers, Guarded
from exai.providers.catalogue import load_catalogue
from exai.providers.echo import Echo
from exai.providers.endpoint import Endpoint
from exai.providers.files import VendorFiles
from exai.providers.glm import glm
from exai.providers.glm_files import glm_files
from exai.providers.kimi import kimi
from exai.providers.kimi_files import kimi_files
from exai.providers.local_breakers import LocalBreakers
from exai.providers.metering import Meter, Metered
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.registry import Registry
from exai.providers.retry import Retrying, RetryPolicy
from exai.providers.routes import default_routes
from exai.providers.slots import ProviderSlots, Slotted
from exai.providers.timeout import TimeLimited
from exai.settings.providers import ProviderSettings

Wrap = Callable[[Provider, int], Provider]


class Wiring:
    """Makes providers and registries; what they share lives here, and outlives each of them.

    `breakers` None: this process's own. `meter` hears of every request to a model."""

    def __init__(
        self,
        settings: ProviderSettings,
        slots: ProviderSlots,
        *,
        breakers: Breakers | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._settings = settings
        self._breakers = breakers or LocalBreakers(breaker_rules(settings))
        self._wrap = wrapping(settings, slots, breakers=self._breakers, meter=meter)
        self._echo = _metered(Echo(), meter)
        self._routes = default_routes()

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
        return Registry(
            [*providers, self._echo],
            routes=self._routes.overridden(plans.routes),
            breakers=self._breakers,
            problems=plans.problems,
            disabled=plans.disabled,
        )


def wrapping(
    settings: ProviderSettings, slots: ProviderSlots, *, breakers: Breakers, meter: Meter | None = None
) -> Wrap:
    """Wraps a vendor of so many requests in flight, outside in: metering → timeout → retry → breaker → slot."""
    policy = RetryPolicy(most=settings.provider_retries, patience_s=settings.read_timeout_secs)

    def wrap(vendor: Provider, most: int) -> Provider:
        guarded = Guarded(Slotted(vendor, slots, most=most), breakers)
        # A trial is one request: should it fail, its provider is left alone at once.
        retrying = Retrying(guarded, policy, worthwhile=lambda: breakers.standing(vendor.name).state == "closed")
        return _metered(TimeLimited(retrying), meter)

    return wrap


def build_registry(
    settings: ProviderSettings,
    slots: ProviderSlots,
    *,
    breakers: Breakers | None = None,
    meter: Meter | None = None,
) -> Registry:
    """The providers that the settings alone configure. Raises `CatalogueError`."""
    wiring = Wiring(settings, slots, breakers=breakers, meter=meter)
    plans = plan_providers(settings, load_catalogue(settings.catalogue_file))
    return wiring.registry(plans, [wiring.provider(plan) for plan in plans.providers])


def breaker_rules(settings: ProviderSettings) -> BreakerRules:
    """A trial has the time to connect and to the first byte."""
    return BreakerRules(
        open_s=settings.breaker_open_secs, trial_s=settings.connect_timeout_secs + settings.read_timeout_secs
    )


def vendor_files(settings: ProviderSettings, plan: ProviderPlan) -> VendorFiles | None:
    """What the vendor of that plan keeps of files; None: it takes none. To be closed."""
    make = {"kimi": kimi_files, "glm": glm_files}.get(plan.name)
    if make is None:
        return None
    return make(
        Endpoint(
            name=plan.name,
            base_url=plan.base_url,
            key=plan.key,
            key_setting=plan.key_setting,
            connect_timeout_s=settings.connect_timeout_secs,
            read_timeout_s=settings.read_timeout_secs,
        )
    )


def _vendor(name: str) -> Callable[..., Provider]:
    return {"kimi": kimi, "glm": glm}.get(name) or partial(OpenAICompatible, name=name)


def _metered(provider: Provider, meter: Meter | None) -> Provider:
    return Metered(provider, meter) if meter is not None else provider

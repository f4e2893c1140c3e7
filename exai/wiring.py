"""Builds the providers from the settings: the one place that knows both."""

from exai.providers.base import ModelInfo, Provider
from exai.providers.catalogue import load_catalogue
from exai.providers.echo import Echo
from exai.providers.glm import glm
from exai.providers.kimi import kimi
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.registry import Registry
from exai.providers.slots import ProviderSlots, Slotted
from exai.settings.providers import ProviderSettings


def build_registry(settings: ProviderSettings, slots: ProviderSlots) -> Registry:
    """All configured providers, registered before the model map is built. Raises `CatalogueError`."""
    catalogue = load_catalogue(settings.catalogue_file)
    connect_timeout_s, read_timeout_s = settings.connect_timeout_secs, settings.read_timeout_secs
    providers: list[Provider] = []
    for build, key, url, most in (
        (kimi, settings.kimi_api_key, settings.kimi_api_url, settings.kimi_max_inflight),
        (glm, settings.glm_api_key, settings.glm_api_url, settings.glm_max_inflight),
    ):
        if key is not None:
            vendor = build(
                key=key.get_secret_value(),
                base_url=url,
                models=catalogue.get(build.__name__, ()),
                connect_timeout_s=connect_timeout_s,
                read_timeout_s=read_timeout_s,
            )
            providers.append(Slotted(vendor, slots, most=most))
    for endpoint in settings.endpoints:
        served = OpenAICompatible(
            name=endpoint.name,
            base_url=endpoint.url,
            key=endpoint.key.get_secret_value(),
            key_setting=f"EXAI_ENDPOINTS ({endpoint.name})",
            models=[
                ModelInfo(id=model.id, context=model.context, output=model.output, aliases=model.aliases)
                for model in endpoint.models
            ],
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
        )
        providers.append(Slotted(served, slots, most=endpoint.max_inflight))
    return Registry([*providers, Echo()])


def unconfigured_vendors(settings: ProviderSettings) -> dict[str, str]:
    """Vendor -> the setting whose key would add it."""
    keys = {"kimi": ("MOONSHOT_API_KEY", settings.kimi_api_key), "glm": ("ZAI_API_KEY", settings.glm_api_key)}
    return {vendor: setting for vendor, (setting, key) in keys.items() if key is None}

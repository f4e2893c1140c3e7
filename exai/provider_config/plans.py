"""Which providers there are to be: the environment's, and what the tables make of them and add.

A row wins over the environment. A key never follows an address that it was not entered for: the environment's key goes
to the environment's address only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from pydantic import TypeAdapter, ValidationError

from exai.provider_config.tables import EndpointRow, ProviderTables
from exai.providers.base import ModelInfo
from exai.providers.overrides import OfferedModel, models_of
from exai.sealing import SealBroken, unseal
from exai.settings.providers import Endpoint, ProviderSettings
from exai.settings.values import HttpUrl

Catalogue = Mapping[str, tuple[ModelInfo, ...]]
DEFAULT_MAX_INFLIGHT = 64
_http_url: TypeAdapter[str] = TypeAdapter(HttpUrl)


@dataclass(frozen=True)
class ProviderPlan:
    """A provider to be. `key_setting` says where its key is configured. Two equal plans make equal providers."""

    name: str
    base_url: str
    key: str = field(repr=False)
    key_setting: str
    max_inflight: int
    models: tuple[ModelInfo, ...] = field(repr=False)


@dataclass(frozen=True)
class ProviderPlans:
    """In order of preference. `problems`: a sentence for each endpoint that cannot be used. `unconfigured`: vendor ->
    the setting whose key would add it. `disabled`: by a row."""

    providers: tuple[ProviderPlan, ...]
    problems: tuple[str, ...] = ()
    unconfigured: dict[str, str] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Endpoint:
    """What is known of one before its models are. `key` None: it has none, and needs one."""

    name: str
    url: str
    key: str | None = field(repr=False)
    key_setting: str
    max_inflight: int
    listed: Sequence[ModelInfo] = ()


class _Unusable(Exception):
    """Why an endpoint cannot be used."""


def plan_providers(
    settings: ProviderSettings,
    catalogue: Catalogue,
    *,
    tables: ProviderTables | None = None,
    offered: Mapping[str, Sequence[OfferedModel]] | None = None,
    hub_secret: str = "",
) -> ProviderPlans:
    """`offered`: what endpoints list, by name. `hub_secret` opens the keys that the tables hold."""
    tables, offered = tables or ProviderTables(), offered or {}
    rows = {row.name: row for row in tables.endpoints}
    plans, problems, unconfigured, disabled = [], [], {}, []
    for endpoint in (*_of_environment(settings, catalogue), *_of_rows_alone(settings, catalogue, rows)):
        row = rows.get(endpoint.name)
        if row is not None and not row.enabled:
            disabled.append(endpoint.name)
            continue
        try:
            used = endpoint if row is None else _with_row(endpoint, row, hub_secret)
        except _Unusable as unusable:
            problems.append(str(unusable))
            continue
        if used.key is None:
            unconfigured[used.name] = used.key_setting
            continue
        plans.append(_plan(used, used.key, tables, offered.get(used.name, ())))
    return ProviderPlans(tuple(plans), tuple(problems), unconfigured, tuple(disabled), tables.routes)


def listed_models(settings: ProviderSettings, catalogue: Catalogue) -> Catalogue:
    """What the catalogue and the settings say of models, by provider, whether it is configured or not."""
    return {**catalogue, **{endpoint.name: tuple(_listed(endpoint, catalogue)) for endpoint in settings.endpoints}}


def _of_environment(settings: ProviderSettings, catalogue: Catalogue) -> Iterator[_Endpoint]:
    kimi, glm = settings.kimi_api_key, settings.glm_api_key
    for name, key, setting, url, most in (
        ("kimi", kimi, "MOONSHOT_API_KEY", settings.kimi_api_url, settings.kimi_max_inflight),
        ("glm", glm, "ZAI_API_KEY", settings.glm_api_url, settings.glm_max_inflight),
    ):
        yield _Endpoint(name, url, key.get_secret_value() if key else None, setting, most, catalogue.get(name, ()))
    for endpoint in settings.endpoints:
        yield _Endpoint(
            name=endpoint.name,
            url=endpoint.url,
            key=endpoint.key.get_secret_value(),
            key_setting=f"EXAI_ENDPOINTS ({endpoint.name})",
            max_inflight=endpoint.max_inflight,
            listed=_listed(endpoint, catalogue),
        )


def _listed(endpoint: Endpoint, catalogue: Catalogue) -> list[ModelInfo]:
    """The models that the setting names, then those of the catalogue file that it does not."""
    named = [msgspec.convert(model.model_dump(), ModelInfo) for model in endpoint.models]
    names = {info.id for info in named}
    return [*named, *(info for info in catalogue.get(endpoint.name, ()) if info.id not in names)]


def _of_rows_alone(
    settings: ProviderSettings, catalogue: Catalogue, rows: Mapping[str, EndpointRow]
) -> Iterator[_Endpoint]:
    known = {"kimi", "glm", *(endpoint.name for endpoint in settings.endpoints)}
    for row in rows.values():
        if row.name not in known:
            yield _Endpoint(row.name, "", "", "", DEFAULT_MAX_INFLIGHT, catalogue.get(row.name, ()))


def _with_row(endpoint: _Endpoint, row: EndpointRow, hub_secret: str) -> _Endpoint:
    try:
        url = _http_url.validate_python(row.url or endpoint.url)
    except ValidationError:
        raise _Unusable(f"The endpoint {row.name} is off: it has no usable base URL; set one in the admin.") from None
    key, key_setting = endpoint.key, endpoint.key_setting
    if row.sealed_key:
        key_setting = f"the key of the endpoint {row.name} in the admin"
        try:
            key = unseal(row.sealed_key, secret=hub_secret, endpoint=row.name)
        except SealBroken:
            raise _Unusable(
                f"The endpoint {row.name} is off: its key was saved under another EXAI_SECRET_KEY and cannot be read. "
                "Set that EXAI_SECRET_KEY again, or enter the key anew in the admin."
            ) from None
    elif endpoint.url and _origin(url) != _origin(endpoint.url):
        key_setting = f"the key of the endpoint {row.name} in the admin"
        if endpoint.key:
            raise _Unusable(
                f"The endpoint {row.name} is off: its base URL in the admin is another than the environment's, whose "
                "key is not sent there. Enter a key for it in the admin."
            )
    elif not endpoint.url:
        key_setting = f"the key of the endpoint {row.name} in the admin"
    most = endpoint.max_inflight if row.max_inflight is None else row.max_inflight
    return _Endpoint(endpoint.name, url, key, key_setting, most, endpoint.listed)


def _plan(endpoint: _Endpoint, key: str, tables: ProviderTables, offered: Sequence[OfferedModel]) -> ProviderPlan:
    return ProviderPlan(
        name=endpoint.name,
        base_url=endpoint.url,
        key=key,
        key_setting=endpoint.key_setting,
        max_inflight=endpoint.max_inflight,
        models=models_of(
            listed=endpoint.listed,
            overrides=[row for row in tables.models if row.provider == endpoint.name],
            prices={row.id: row.price for row in tables.prices if row.provider == endpoint.name},
            offered=offered,
        ),
    )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()

"""What is configured of each endpoint, from the environment and from the tables. What people see holds no key."""

from typing import NamedTuple

from django.conf import settings as django_settings
from django.db import connection

from exai.provider_config.plans import ProviderPlans, plan_providers
from exai.provider_config.tables import TABLES, ProviderTables, parse_tables
from exai.providers.base import ModelInfo
from exai.providers.catalogue import load_catalogue
from exai.providers.routes import ROUTE_NAMES, RouteName, default_routes
from exai.settings.providers import ProviderSettings


class EndpointOverview(NamedTuple):
    """`state`: in words, why it is off, or empty when it is in use."""

    name: str
    sources: str
    url: str
    has_key: bool
    max_inflight: int | None
    models: int
    state: str


class ModelOverview(NamedTuple):
    provider: str
    model: ModelInfo


class RouteOverview(NamedTuple):
    """`models`: the names of its list, and whether an endpoint in use is known to serve them."""

    name: RouteName
    source: str
    models: tuple[tuple[str, bool], ...]


def endpoints_overview(settings: ProviderSettings) -> list[EndpointOverview]:
    """Every endpoint that the environment or a row names, and the vendors, whether used or not."""
    tables, plans = _in_force(settings)
    used = {plan.name: plan for plan in plans.providers}
    rows = {row.name: row for row in tables.endpoints}
    keyed = {name for name, key in (("kimi", settings.kimi_api_key), ("glm", settings.glm_api_key)) if key}
    environment = [*sorted(keyed), *(endpoint.name for endpoint in settings.endpoints)]
    described = []
    for name in dict.fromkeys(("kimi", "glm", *environment, *sorted(rows))):
        sources = [word for word, names in (("environment", environment), ("this table", rows)) if name in names]
        plan = used.get(name)
        described.append(
            EndpointOverview(
                name=name,
                sources=" and ".join(sources) or "–",
                url=plan.base_url if plan else rows[name].url if name in rows else "",
                has_key=bool(plan.key if plan else name in rows and rows[name].sealed_key),
                max_inflight=plan.max_inflight if plan else None,
                models=len(plan.models) if plan else 0,
                state=_state(name, plans.disabled, plans.unconfigured, plans.problems) if plan is None else "",
            )
        )
    return described


def models_overview(settings: ProviderSettings) -> list[ModelOverview]:
    """The models of the endpoints in use, without those that only the endpoints themselves know."""
    _, plans = _in_force(settings)
    return [ModelOverview(plan.name, model) for plan in plans.providers for model in plan.models]


def routes_overview(settings: ProviderSettings) -> list[RouteOverview]:
    """What is made of endpoints' own lists is not known here, as of `models_overview`."""
    tables, plans = _in_force(settings)
    routes = default_routes().overridden(tables.routes)
    served = {
        each.lower()
        for plan in plans.providers
        for model in plan.models
        for name in (model.id, *model.aliases)
        for each in (name, f"{plan.name}/{name}")
    }
    return [
        RouteOverview(
            route,
            "this table" if route in tables.routes else "built in",
            tuple((model, model.strip().lower() in served) for model in routes.models(route)),
        )
        for route in ROUTE_NAMES
    ]


def plans_in_force(settings: ProviderSettings) -> ProviderPlans:
    """What endpoints there are now, without what they offer by themselves. Its plans hold keys."""
    return _in_force(settings)[1]


def _in_force(settings: ProviderSettings) -> tuple[ProviderTables, ProviderPlans]:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        tables = parse_tables(cursor.fetchone()[0])
    catalogue = load_catalogue(settings.catalogue_file)
    return tables, plan_providers(settings, catalogue, tables=tables, hub_secret=django_settings.SECRET_KEY)


def _state(name: str, disabled: tuple[str, ...], unconfigured: dict[str, str], problems: tuple[str, ...]) -> str:
    if name in disabled:
        return "Disabled."
    if name in unconfigured:
        return f"No key: set {unconfigured[name]}, or enter one here."
    return next((problem for problem in problems if f"The endpoint {name} " in problem), "")

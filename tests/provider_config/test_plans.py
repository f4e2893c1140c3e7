"""Which providers the environment and the tables make together."""

import json

import pytest

from exai.provider_config.plans import ProviderPlans, plan_providers
from exai.provider_config.tables import EndpointRow, ModelRow, PriceRow, ProviderTables
from exai.providers.base import ModelInfo, Price
from exai.providers.overrides import OfferedModel
from exai.sealing import seal
from exai.settings.hub import parse

SECRET = "the hub's secret, of 32 characters and more"
CATALOGUE = {"kimi": (ModelInfo("k", 1000),), "router": (ModelInfo("r", 2000),)}
OLLAMA = {"name": "ollama", "url": "http://ollama.test/v1", "key": "sk-ollama", "models": ["llama"]}


def plan(*rows: EndpointRow, environment: dict[str, str] | None = None, **tables: object) -> ProviderPlans:
    given = ProviderTables(endpoints=rows, **tables)  # type: ignore[arg-type]
    return plan_providers(parse(environment or {}), CATALOGUE, tables=given, hub_secret=SECRET)


def sealed(endpoint: str, key: str = "sk-of-the-row") -> str:
    return seal(key, secret=SECRET, endpoint=endpoint)


def test_a_row_with_a_key_configures_a_vendor_without_the_environment() -> None:
    (kimi,) = plan(EndpointRow("kimi", sealed_key=sealed("kimi"))).providers
    assert (kimi.name, kimi.base_url, kimi.key) == ("kimi", "https://api.moonshot.ai/v1", "sk-of-the-row")
    assert kimi.models == CATALOGUE["kimi"]
    assert kimi.key_setting == "the key of the endpoint kimi in the admin"


def test_a_row_wins_over_the_environment_and_leaves_what_it_does_not_say() -> None:
    environment = {"MOONSHOT_API_KEY": "sk-of-the-environment", "EXAI_WS_KIMI_MAX_INFLIGHT": "7"}
    (kimi,) = plan(EndpointRow("kimi", sealed_key=sealed("kimi")), environment=environment).providers
    assert (kimi.key, kimi.max_inflight) == ("sk-of-the-row", 7)
    (kimi,) = plan(EndpointRow("kimi", max_inflight=3), environment=environment).providers
    assert (kimi.key, kimi.max_inflight, kimi.key_setting) == ("sk-of-the-environment", 3, "MOONSHOT_API_KEY")


def test_a_vendor_without_any_key_stays_unconfigured_by_a_row_without_one() -> None:
    plans = plan(EndpointRow("kimi", max_inflight=3))
    assert plans.providers == ()
    assert plans.unconfigured == {"kimi": "MOONSHOT_API_KEY", "glm": "ZAI_API_KEY"}


def test_a_disabled_row_switches_an_endpoint_of_the_environment_off() -> None:
    plans = plan(EndpointRow("ollama", enabled=False), environment={"EXAI_ENDPOINTS": json.dumps([OLLAMA])})
    assert (plans.providers, plans.disabled, plans.problems) == ((), ("ollama",), ())


def test_a_row_alone_is_an_endpoint_and_may_have_no_key() -> None:
    (router,) = plan(EndpointRow("router", url="http://router.test/v1/")).providers
    assert (router.base_url, router.key, router.max_inflight) == ("http://router.test/v1", "", 64)
    assert router.models == CATALOGUE["router"]


def test_the_environments_key_is_not_sent_to_another_host() -> None:
    environment = {"MOONSHOT_API_KEY": "sk-environment", "EXAI_ENDPOINTS": json.dumps([OLLAMA])}
    rows = [EndpointRow(name, url="https://elsewhere.test/v1") for name in ("kimi", "ollama")]
    plans = plan(*rows, environment=environment)
    assert plans.providers == ()
    assert ["another than the environment's" in problem for problem in plans.problems] == [True, True]
    (moved,) = plan(
        EndpointRow("kimi", url="https://elsewhere.test/v1", sealed_key=sealed("kimi")), environment=environment
    ).providers[:1]
    assert (moved.base_url, moved.key) == ("https://elsewhere.test/v1", "sk-of-the-row")
    # Another path of the same host is no other host.
    (same, _) = plan(EndpointRow("kimi", url="https://api.moonshot.ai/v2"), environment=environment).providers
    assert (same.base_url, same.key) == ("https://api.moonshot.ai/v2", "sk-environment")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/",
        "nonsense",
        "http://user:password@host/v1",
        "http://host:99999/",
        "http://a..b/",
        "http://host/?key=password",
    ],
)
def test_a_row_with_an_unusable_address_is_off_and_the_others_stay(url: str) -> None:
    plans = plan(EndpointRow("bad", url=url), EndpointRow("good", url="http://good.test/v1"))
    assert [each.name for each in plans.providers] == ["good"]
    (problem,) = plans.problems
    assert "The endpoint bad is off" in problem
    assert "password" not in problem


def test_a_key_of_another_hub_secret_switches_its_endpoint_off_and_names_the_setting() -> None:
    other = seal("sk-of-the-row", secret=SECRET + "x", endpoint="kimi")
    plans = plan(
        EndpointRow("kimi", sealed_key=other),
        EndpointRow("router", url="http://router.test/v1"),
        environment={"MOONSHOT_API_KEY": "sk-environment"},
    )
    assert [each.name for each in plans.providers] == ["router"]
    (problem,) = plans.problems
    assert "kimi" in problem
    assert "EXAI_SECRET_KEY" in problem


def test_no_key_shows_in_what_is_printed_of_a_plan() -> None:
    plans = plan(EndpointRow("kimi", sealed_key=sealed("kimi")), environment={"EXAI_ENDPOINTS": json.dumps([OLLAMA])})
    for shown in (repr(plans), str(plans)):
        assert "sk-of-the-row" not in shown
        assert "sk-ollama" not in shown


def test_models_prices_and_offers_reach_their_own_endpoint_only() -> None:
    price = Price(input=1, output=2, version="v")
    tables = ProviderTables(
        endpoints=(EndpointRow("router", url="http://router.test/v1"), EndpointRow("other", url="http://other.test")),
        models=(ModelRow(provider="router", id="r", context=9000), ModelRow(provider="gone", id="x")),
        prices=(PriceRow("router", "r", price), PriceRow("other", "r", price)),
    )
    plans = plan_providers(parse({}), CATALOGUE, tables=tables, offered={"other": [OfferedModel("o", 4000)]})
    models = {each.name: each.models for each in plans.providers}
    assert models == {
        "router": (ModelInfo("r", 9000, price=price),),
        "other": (ModelInfo("o", 4000, listed=False),),
    }


def test_models_of_the_setting_have_abilities_and_a_price() -> None:
    model = {"id": "llama", "vision": True, "tools": True, "price": {"input": 1, "output": 2}}
    endpoint = {**OLLAMA, "models": [model]}
    (ollama,) = plan(environment={"EXAI_ENDPOINTS": json.dumps([endpoint])}).providers
    # Calls say by which price they were paid, so one without a version is named by its figures.
    price = Price(input=1, output=2, version="1/2")
    assert ollama.models == (ModelInfo("llama", 8192, vision=True, tools=True, price=price),)

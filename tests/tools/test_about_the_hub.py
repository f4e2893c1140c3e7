"""The tools about the hub answer plain JSON of their own, and ask no model."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exai.protocol.errors import InvalidValue, ServiceUnavailable
from exai.providers.base import ModelInfo, Price
from exai.providers.breaker import Outcome
from exai.providers.echo import MODEL as TEST_MODEL
from exai.providers.echo import Echo
from exai.providers.local_breakers import LocalBreakers
from exai.providers.registry import Registry
from exai.tools.hub import CallFilter, Check, EndedCallFacts
from exai.tools.table import TOOLS_BY_NAME
from exai.version import PROTOCOL_VERSION, VERSION
from tests.providers.scripted import Scripted
from tests.tools.conftest import MakeRegistry
from tests.tools.running import QuietHub, Run


async def said(run: Run, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await run(tool, **arguments)
    assert (answer.plain, answer.content_type, answer.turn, answer.model) == (True, "json", None, "")
    content: dict[str, Any] = json.loads(answer.content)
    return content


@pytest.fixture
def run() -> Run:
    return Run(Registry([Echo()]))


async def test_version_says_which_hub_this_is(run: Run) -> None:
    content = await said(run, "version")
    assert (content["name"], content["version"], content["protocol"]) == ("EXAI", VERSION, PROTOCOL_VERSION)
    assert content["started_at"] == "2026-01-02T03:04:05+00:00"


async def test_listmodels_lists_each_model_with_its_abilities_and_price(serving: MakeRegistry) -> None:
    price = Price(input=0.6, output=2.5, cached=0.15, version="2026-11")
    model = ModelInfo("big", 64_000, output=4000, vision=True, thinking=True, aliases=("large",), price=price)
    content = await said(Run(serving(model)), "listmodels")
    assert content["models"][0] == {
        "id": "big",
        "provider": "vendor",
        "context_tokens": 64_000,
        "output_tokens": 4000,
        "vision": True,
        "thinking": True,
        "tools": False,
        "web_search": False,
        "price": {"input": 0.6, "cached": 0.15, "output": 2.5, "version": "2026-11"},
        "aliases": ["large"],
        "listed": True,
        "test_model": False,
    }
    assert [(listed["id"], listed["test_model"]) for listed in content["models"]] == [
        ("big", False),
        (TEST_MODEL, True),
    ]
    assert content["auto"] == "big"
    assert content["configured_providers"] == ["vendor", "exai"]
    assert content["not_configured"] == [{"provider": "glm", "set": "ZAI_API_KEY"}]


async def test_listmodels_tells_an_unknown_price_from_a_free_one_and_what_nobody_listed(
    serving: MakeRegistry,
) -> None:
    free = Price(input=0, output=0, version="free")
    models = [ModelInfo("new", 8192, listed=False), ModelInfo("free", 8192, price=free), ModelInfo("known", 8192)]
    content = await said(Run(serving(*models)), "listmodels")
    assert [(listed["id"], listed["price"], listed["listed"]) for listed in content["models"][:3]] == [
        ("new", "unknown", False),
        ("free", {"input": 0, "cached": 0, "output": 0, "version": "free"}, True),
        ("known", "unknown", True),
    ]
    assert content["auto"] == "free"


async def test_listmodels_says_what_is_off_and_why() -> None:
    registry = Registry([Echo()], problems=["The endpoint a is off."], disabled=["b"])
    content = await said(Run(registry), "listmodels")
    assert (content["problems"], content["disabled_providers"]) == (["The endpoint a is off."], ["b"])


async def test_status_says_how_the_hub_is(run: Run) -> None:
    content = await said(run, "status")
    assert content["version"] == VERSION
    assert (content["connections"], content["calls_in_flight"], content["draining"]) == (3, 1, False)
    assert content["uptime_s"] > 0
    assert (content["providers"], content["auto_model"]) == (["exai"], TEST_MODEL)
    assert content["failures_last_hour"] == [{"tool": "chat", "error_code": "TIMEOUT"}]
    assert not {"tools", "not_configured", "components"} & set(content)


async def test_who_is_left_alone_after_failures_is_said_everywhere() -> None:
    breakers = LocalBreakers()
    for _ in range(5):
        breakers.leave("one", "", Outcome.FAILED)
    providers = [Scripted(name=name, models=[ModelInfo(f"of-{name}", 8000)]) for name in ("one", "two")]
    run = Run(Registry(providers, breakers=breakers))
    listed = await said(run, "listmodels")
    assert listed["providers"] == [
        {"name": "one", "healthy": False, "breaker": "open"},
        {"name": "two", "healthy": True, "breaker": "closed"},
    ]
    assert listed["auto"] == "of-two"
    for tool in ("status", "health"):
        shown = (await said(run, tool))["breakers"]
        assert shown["two"] == {"state": "closed"}
        assert (shown["one"]["state"], round(shown["one"]["retry_after_s"])) == ("open", 30)


async def test_who_may_be_tried_again_is_healthy_for_every_tool() -> None:
    now = 0.0
    breakers = LocalBreakers(clock=lambda: now)
    for _ in range(5):
        breakers.leave("one", "", Outcome.FAILED)
    now = 31.0
    run = Run(Registry([Scripted(name="one", models=[ModelInfo("of-one", 8000)])], breakers=breakers))
    listed = (await said(run, "listmodels"))["providers"]
    assert listed == [{"name": "one", "healthy": True, "breaker": "half-open"}]
    [capable] = (await said(run, "provider_capabilities"))["providers"]
    assert capable["healthy"]


async def test_status_says_more_when_asked(run: Run) -> None:
    content = await said(run, "status", include_tools=True, doctor=True, probe=True, anything_else=1)
    assert content["tools"] == list(TOOLS_BY_NAME)
    assert content["not_configured"] == {"glm": "ZAI_API_KEY"}
    assert content["components"] == {"database": {"status": "ok", "latency_ms": 0.4}}


@pytest.mark.parametrize(("status", "ok"), [("ok", True), ("down", False)])
async def test_health_is_ok_when_every_component_is(status: str, ok: bool) -> None:
    hub = QuietHub(states={"database": {"status": status}, "redis": {"status": "ok"}})
    content = await said(Run(Registry([Echo()]), hub=hub), "health")
    assert content["ok"] is ok
    assert content["components"] == hub.states


@pytest.mark.parametrize("status", ["down", "ok"])
async def test_health_and_status_answer_while_the_database_is_away(status: str) -> None:
    # It may also go between the two questions.
    hub = QuietHub(states={"database": {"status": status}, "redis": {"status": "ok"}}, database_away=True)
    run = Run(Registry([Echo()]), hub=hub)
    health = await said(run, "health")
    assert (health["ok"], health["components"], health["failures_last_hour"]) == (status == "ok", hub.states, None)
    assert (await said(run, "status"))["failures_last_hour"] is None
    assert (await said(run, "status", probe=True))["components"] == hub.states


async def test_a_database_that_is_down_is_not_asked_for_failures() -> None:
    hub = QuietHub(states={"database": {"status": "down"}})
    run = Run(Registry([Echo()]), hub=hub)
    await said(run, "health")
    await said(run, "status", probe=True)
    assert hub.asked_failures == []


@pytest.mark.parametrize(
    ("tool", "arguments", "most"),
    [
        ("status", {}, 30),
        ("status", {"tail_lines": None}, 30),
        ("status", {"tail_lines": 7}, 7),
        ("status", {"tail_lines": 0}, 0),
        ("status", {"tail_lines": -5}, 0),
        ("status", {"tail_lines": 10**30}, 500),
        ("health", {}, 50),
        ("health", {"tail_lines": None}, 50),
        ("health", {"tail_lines": 7}, 7),
    ],
)
async def test_failures_are_of_the_callers_workspace_and_bounded(
    run: Run, tool: str, arguments: dict[str, Any], most: int
) -> None:
    await said(run, tool, **arguments)
    assert run.hub.asked_failures == [("project", most)]


ENDED = EndedCallFacts(
    call_id="0193",
    ended_at=datetime(2026, 11, 21, 15, 30, 5, tzinfo=UTC),
    client="agent",
    workspace="project",
    tool="chat",
    model="big",
    provider="vendor",
    status="failed",
    error_code="TIMEOUT",
    message="It took\ntoo long.",
    input_tokens=10,
    output_tokens=None,
    cost=None,
    total_ms=1234.5,
)


async def test_activity_shows_each_call_as_a_line_or_as_an_object(run: Run) -> None:
    run.hub.calls = [ENDED]
    content = await said(run, "activity")
    assert content["lines"] == [
        "2026-11-21T15:30:05Z project/agent chat failed vendor/big 10 tokens cost unknown 1234 ms "
        "TIMEOUT: It took too long."
    ]
    assert (content["count"], content["workspace"], content["source"]) == (1, "project", "activity")
    [call] = (await said(run, "activity", structured=True))["calls"]
    assert (call["tool"], call["error_code"], call["cost"], call["total_ms"]) == ("chat", "TIMEOUT", None, 1234.5)


async def test_activity_asks_for_what_the_caller_may_see(run: Run) -> None:
    await said(run, "activity")
    await said(
        run,
        "activity",
        lines=10,
        filter=" glm ",
        source="server",
        since="2026-11-20",
        until="2026-11-21T05:00:00+10:00",
    )
    run.caller.is_admin = True
    await said(run, "activity")
    usual, narrow, everywhere = run.hub.asked_calls
    assert (usual.workspace, usual.most, usual.text, usual.only_failed) == ("project", 200, "", False)
    assert usual.until - usual.since == timedelta(hours=24)
    assert narrow == CallFilter(
        most=10,
        workspace="project",
        since=datetime(2026, 11, 20, tzinfo=UTC),
        until=datetime(2026, 11, 20, 19, tzinfo=UTC),
        text="glm",
        only_failed=True,
    )
    assert everywhere.workspace is None


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-13-01"}, "until"),
        ({"since": "0001-01-01T00:00:00+23:00", "until": "9999-12-31T23:59:59-23:00"}, "until"),
        ({"since": "2026-11-21", "until": "2026-11-20"}, "since"),
    ],
)
async def test_activity_refuses_times_that_are_none(run: Run, arguments: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await run("activity", **arguments)
    assert list(caught.value.details) == [field]


async def test_activity_fails_in_words_while_the_database_is_away(run: Run) -> None:
    run.hub.database_away = True
    with pytest.raises(ServiceUnavailable):
        await run("activity")


async def test_provider_capabilities_tell_abilities_limits_and_breakers(serving: MakeRegistry) -> None:
    models = [ModelInfo("big", 64_000, output=4000, vision=True), ModelInfo("plain", 8000, web_search=True)]
    run = Run(serving(*models))
    content = await said(run, "provider_capabilities")
    vendor, test = content["providers"]
    assert vendor == {
        "name": "vendor",
        "healthy": True,
        "breaker": {"state": "closed"},
        "test_model": False,
        "requests_in_flight_limit": 64,
        "abilities": ["vision", "web_search"],
        "models": [
            {"id": "big", "context_tokens": 64_000, "output_tokens": 4000, "abilities": ["vision"]},
            {"id": "plain", "context_tokens": 8000, "output_tokens": None, "abilities": ["web_search"]},
        ],
    }
    assert test["test_model"] is True
    assert content["not_configured"] == [{"provider": "glm", "set": "ZAI_API_KEY"}]
    assert content["tools"] == list(TOOLS_BY_NAME)
    assert not {"routes", "limits", "note"} & set(content)


async def test_provider_capabilities_say_more_or_less_when_asked(serving: MakeRegistry) -> None:
    run = Run(serving(ModelInfo("big", 64_000)))
    run.caller.tool_names = ("chat",)
    assert (await said(run, "provider_capabilities"))["tools"] == ["chat"]
    content = await said(run, "provider_capabilities", include_tools=False, show_advanced=True, invalidate_cache=True)
    assert "tools" not in content
    assert content["routes"]["fast"] == ["vendor/big"]
    assert content["limits"] == {"call_seconds": 300.0}
    assert "nothing to invalidate" in content["note"]


async def test_self_check_is_as_good_as_its_worst_check(serving: MakeRegistry) -> None:
    run = Run(serving(ModelInfo("big", 64_000)))
    content = await said(run, "self-check")
    assert content["status"] == "ok"
    assert {check["name"]: check["status"] for check in content["checks"]} == {
        "database": "ok",
        "provider vendor": "ok",
        "scopes": "ok",
    }
    run.caller.may_use_files = False
    assert (await said(run, "self-check"))["status"] == "warn"
    run.hub.done_checks = (Check("database", "fail", "It does not answer.", "Start it."),)
    content = await said(run, "self-check", log_lines=5)
    assert (content["status"], content["failures_last_hour"]) == ("fail", None)
    assert content["checks"][0]["what_to_do"] == "Start it."
    assert run.hub.asked_failures == []


async def test_self_check_says_which_providers_do_not_serve() -> None:
    breakers = LocalBreakers()
    for _ in range(5):
        breakers.leave("one", "", Outcome.FAILED)
    registry = Registry([Scripted(name="one")], breakers=breakers, problems=["The endpoint a is off."])
    checks = {check["name"]: check for check in (await said(Run(registry), "self-check"))["checks"]}
    assert (checks["provider one"]["status"], checks["configuration"]["message"]) == ("fail", "The endpoint a is off.")
    [providers] = [
        check for check in (await said(Run(Registry([Echo()])), "self-check"))["checks"] if check["name"] == "providers"
    ]
    assert (providers["status"], "key" in providers["what_to_do"]) == ("warn", True)


async def test_self_check_shows_failures_where_that_is_asked(run: Run) -> None:
    assert "failures_last_hour" not in await said(run, "self-check")
    assert len((await said(run, "self-check", log_lines=500))["failures_last_hour"]) == 1
    assert run.hub.asked_failures == [("project", 500)]


@pytest.mark.parametrize("tool", ["status", "health"])
async def test_an_admin_sees_the_failures_of_all_workspaces(run: Run, tool: str) -> None:
    run.caller.is_admin = True
    await said(run, tool, tail_lines=3)
    assert run.hub.asked_failures == [(None, 3)]

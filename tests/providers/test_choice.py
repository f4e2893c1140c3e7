"""Which model answers, and why: the caller's, the conversation's, a vendor's, the route's."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from exai.providers.breaker import Outcome
from exai.providers.choice import Choice, Wish, choose
from exai.providers.echo import MODEL as TEST_MODEL
from exai.providers.echo import Echo
from exai.providers.local_breakers import LocalBreakers
from exai.providers.registry import Registry
from exai.providers.routes import ROUTE_NAMES, Routes, default_routes
from exai.settings.hub import parse
from exai.wiring import build_registry
from tests.providers.scripted import Scripted
from tests.providers.test_wiring import CountedSlots

KIMI = Scripted(
    name="kimi", models=[ModelInfo("quick", 8000), ModelInfo("wide", 256_000), ModelInfo("eyes", 8000, vision=True)]
)
GLM = Scripted(name="glm", models=[ModelInfo("wise", 200_000), ModelInfo("cheap", 100_000)])
ROUTES = Routes(
    fast=("none-such", "quick", "glm/cheap", "wide"),
    deep=("wise", "quick"),
    long=("wise", "wide"),
    vision=("eyes", "quick"),
)


def breakers(*failing: str) -> LocalBreakers:
    made = LocalBreakers()
    for provider in failing:
        for _ in range(5):
            made.leave(provider, "", Outcome.FAILED)
    return made


def chosen(*failing: str, routes: Routes = ROUTES, **wish: Any) -> Choice:
    return choose(Registry([KIMI, GLM, Echo()], routes=routes, breakers=breakers(*failing)), Wish(**wish))


def names(choice: Choice) -> tuple[str, str | None]:
    return choice.served.info.id, choice.other.info.id if choice.other else None


@pytest.mark.parametrize(
    ("wish", "model", "why"),
    [
        ({}, "quick", "route fast: first healthy of quick, cheap, wide"),
        ({"route": "deep"}, "wise", "route deep: first healthy of wise, quick"),
        ({"tokens": 129_000}, "wise", "route long: first healthy of wise, wide"),
        ({"tokens": 1000, "earlier_tokens": lambda: 128_000}, "wise", "route long: first healthy of wise, wide"),
        ({"tokens": 201_000}, "wide", "route long: first healthy of wide"),
        ({"tokens": 50_000}, "cheap", "route fast: first healthy of cheap, wide"),
        ({"images": True}, "eyes", "route vision: first healthy of eyes"),
        ({"images": True, "tokens": 200_000}, "eyes", "route vision: first healthy of eyes, quick"),
        ({"vendor": "glm"}, "wise", "vendor glm: first healthy of wise, cheap"),
        ({"last_model": "glm/cheap"}, "cheap", "the conversation's model"),
        ({"last_model": "gone/cheap"}, "cheap", "the conversation's model"),
        ({"last_model": "gone/gone"}, "quick", "route fast: first healthy of quick, cheap, wide"),
        ({"last_model": "kimi/quick", "vendor": "glm"}, "wise", "vendor glm: first healthy of wise, cheap"),
        ({"last_model": "glm/wise", "images": True}, "eyes", "route vision: first healthy of eyes"),
        ({"last_model": "glm/wise", "model": " Auto "}, "wise", "the conversation's model"),
        ({"last_model": "glm/wise", "model": "quick"}, "quick", "named by the caller"),
    ],
)
def test_the_model_and_the_reason(wish: dict[str, Any], model: str, why: str) -> None:
    choice = chosen(**wish)
    assert (choice.served.info.id, choice.why) == (model, why)


def test_a_provider_that_is_left_alone_is_passed_over_and_named() -> None:
    choice = chosen("kimi")
    assert names(choice) == ("cheap", None)
    assert choice.why == "route fast: first healthy of quick, cheap, wide (kimi left alone after failures)"


def test_where_none_is_healthy_the_first_is_asked_and_says_so_itself() -> None:
    choice = chosen("kimi", "glm")
    assert names(choice) == ("quick", None)
    assert choice.why == "route fast: first of quick, cheap, wide, of which none is healthy"


def test_the_conversation_and_the_caller_are_not_passed_over_for_health() -> None:
    assert names(chosen("kimi", last_model="kimi/quick")) == ("quick", "cheap")
    assert names(chosen("kimi", model="quick")) == ("quick", None)


@pytest.mark.parametrize(
    ("wish", "other"),
    [
        ({}, "cheap"),  # of another provider, though wide was as good
        ({"allow_fallback": False}, None),
        ({"model": "quick"}, None),
        ({"model": "quick", "allow_fallback": False}, None),
        ({"model": "quick", "allow_fallback": True}, "cheap"),
        ({"last_model": "kimi/quick"}, "cheap"),
        ({"last_model": "kimi/quick", "allow_fallback": False}, None),
        # In no list of this route: whoever chose it may not want others to see the conversation.
        ({"last_model": "kimi/eyes"}, None),
        ({"last_model": "kimi/eyes", "allow_fallback": True}, "cheap"),
        ({"vendor": "glm"}, "cheap"),
        ({"route": "deep", "tokens": 100_000}, None),
    ],
)
def test_who_may_be_asked_instead(wish: dict[str, Any], other: str | None) -> None:
    assert names(chosen(**wish))[1] == other


def test_a_sibling_is_asked_where_there_is_no_other_provider() -> None:
    assert names(chosen(routes=Routes(fast=("quick", "wide")))) == ("quick", "wide")


def test_a_vendor_that_is_not_configured_is_an_error() -> None:
    with pytest.raises(InvalidValue, match="qwen is not configured"):
        chosen(vendor="qwen")


def test_a_route_of_which_nothing_is_configured_takes_what_there_is() -> None:
    assert names(chosen(routes=Routes())) == ("quick", "wise")
    assert chosen(routes=Routes(), tokens=129_000).served.info.id == "wide"
    assert chosen(routes=Routes(), images=True).served.info.id == "eyes"


def test_what_a_vendor_merely_offers_comes_after_what_is_listed() -> None:
    offered = Scripted(name="many", models=[ModelInfo("new", 8000, listed=False), ModelInfo("known", 8000)])
    assert names(choose(Registry([offered]), Wish())) == ("known", "new")


def test_an_operator_s_lists_take_the_place_of_those_that_come_along() -> None:
    routes = ROUTES.overridden({"fast": ["wide"], "none-such": ["quick"], "deep": []})
    assert (routes.fast, routes.deep, routes.long) == (("wide",), (), ROUTES.long)
    assert chosen(routes=routes).why == "route fast: first healthy of wide"


def test_the_test_model_is_chosen_and_falls_back_only_where_it_is_alone() -> None:
    alone = choose(Registry([Echo()], routes=default_routes()), Wish())
    assert names(alone) == (TEST_MODEL, None)
    named = choose(Registry([KIMI, Echo()], routes=Routes(fast=(TEST_MODEL,))), Wish())
    assert named.served.info.id == "quick"
    only = Scripted(name="one", models=[ModelInfo("single", 8000)])
    assert names(choose(Registry([Echo(), only]), Wish())) == ("single", None)


def test_a_reason_names_a_few_models_of_many() -> None:
    many = Scripted(name="many", models=[ModelInfo(f"m{number}", 8000) for number in range(400)])
    assert choose(Registry([many]), Wish()).why == "route fast: first healthy of m0, m1, m2, m3, m4, …"


async def test_the_routes_that_come_along_name_known_models_and_start_with_each_vendor_alone() -> None:
    both = build_registry(parse({"KIMI_API_KEY": "k", "ZAI_API_KEY": "g"}), CountedSlots())
    for name in ROUTE_NAMES:
        models = default_routes().models(name)
        assert models
        assert all(both.find(model) for model in models)
    for key, vendor in (("KIMI_API_KEY", "kimi"), ("ZAI_API_KEY", "glm")):
        alone = build_registry(parse({key: "k"}), CountedSlots())
        assert choose(alone, Wish(tokens=130_000)).served.provider.name == vendor
        assert choose(alone, Wish(images=True)).served.info.vision
        await alone.close()
    await both.close()


def test_a_vendor_s_model_that_is_named_has_another_one_beside_it() -> None:
    assert names(chosen(model="wise", vendor="glm", allow_fallback=True)) == ("wise", "cheap")

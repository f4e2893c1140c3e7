"""GLM's own ways: thinking that is switched, calls that stream when asked to, searches with their pages."""

import json
from typing import Any

import pytest

from exai.providers.base import FunctionTool, ModelInfo, Source, Thinking
from exai.providers.glm import GlmDialect, search_engine
from exai.providers.sources import MOST_SOURCES
from tests.providers.asking import Endpoints, answer, question
from tests.providers.wire import DONE, content, event, vendor_that_sends
from tests.upstream import Upstream

SEARCH_TOOL = {
    "type": "web_search",
    "web_search": {
        "enable": True,
        "search_engine": "search-prime",
        "search_result": True,
        "result_sequence": "after",
        "search_recency_filter": "noLimit",
        "content_size": "medium",
    },
}
OWN_TOOL = FunctionTool("weather", "Of a city", {"type": "object"})
DIALECT = GlmDialect("search-prime")


def added(named: str, **wishes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {}
    DIALECT.complete(body, question(named, **wishes), ModelInfo(named, 8000, web_search=True))
    return body


@pytest.mark.parametrize(
    ("named", "thinking", "sent"),
    [
        ("glm-4.6", "high", "enabled"),
        ("glm-4.5-air", "low", "enabled"),
        ("glm-4.5v", "minimal", "disabled"),
        ("GLM-5", "max", "enabled"),
        ("glm-5.1", "minimal", "disabled"),
        ("glm-4.6", None, None),
        ("glm-4-plus", "high", None),
        ("glm-4-0520", "high", None),
        ("glm-4-32b-0414-128k", "high", None),
        ("charglm-4", "high", None),
    ],
)
def test_models_of_4_5_and_later_are_told_whether_to_think(
    named: str, thinking: Thinking | None, sent: str | None
) -> None:
    assert added(named, thinking=thinking) == ({"thinking": {"type": sent}} if sent else {})


@pytest.mark.parametrize(
    ("named", "stream", "tools", "streams"),
    [
        ("glm-4.6", True, (OWN_TOOL,), True),
        ("glm-5", True, (OWN_TOOL,), True),
        ("glm-4.6", False, (OWN_TOOL,), False),
        ("glm-4.6", True, (), False),
        ("glm-4.5", True, (OWN_TOOL,), False),
    ],
)
def test_calls_stream_from_4_6_on(named: str, stream: bool, tools: tuple[FunctionTool, ...], streams: bool) -> None:
    assert added(named, stream=stream, tools=tools).get("tool_stream", False) is streams


async def test_a_search_is_a_tool_beside_the_caller_s(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, web_search=True)], dialect=DIALECT)
    upstream.behave(model, sources=[{"title": "One", "link": "https://a.example"}])
    answered = await answer(provider, question(model, web_search=True, tools=(OWN_TOOL,)))
    [request] = upstream.requests(model)
    assert request.body["tools"][1:] == [SEARCH_TOOL]
    assert request.body["tools"][0]["function"]["name"] == "weather"
    assert answered.finished.sources == (Source("https://a.example", "One"),)


@pytest.mark.parametrize(("asks", "able"), [(False, True), (True, False)])
async def test_nothing_is_searched_unasked_or_by_a_model_that_cannot(
    upstream: Upstream, endpoints: Endpoints, model: str, asks: bool, able: bool
) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, web_search=able)], dialect=DIALECT)
    await answer(provider, question(model, web_search=asks))
    assert "tools" not in upstream.requests(model)[0].body


@pytest.mark.parametrize(
    ("url", "engine"),
    [("https://api.z.ai/api/paas/v4", "search-prime"), ("https://open.bigmodel.cn/api/paas/v4", "search_pro")],
)
def test_each_platform_has_its_engine(url: str, engine: str) -> None:
    assert search_engine(url) == engine


async def test_pages_may_come_in_any_event_and_odd_ones_are_passed_over(endpoints: Endpoints) -> None:
    odd = [5, None, {}, {"link": 5}, {"link": "javascript:alert(1)"}, {"link": "https://x.example/" + "x" * 3000}]
    pages = [*odd, {"link": "https://a.example", "title": 5, "publish_date": "2026\x00"}, {"link": "https://a.example"}]
    early = event(json.dumps({"choices": [], "web_search": pages}))
    late = event('{"choices":[],"web_search":[{"link":"https://b.example","title":"B"}]}')
    wrong = event('{"choices":[],"web_search":{"link":"https://c.example"}}')
    end = content("a", finish_reason='"stop"')
    async with vendor_that_sends(early, wrong, end, late, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert answered.finished.sources == (
        Source("https://a.example", published="2026\ufffd"),
        Source("https://b.example", "B"),
    )


async def test_so_many_sources_are_enough(endpoints: Endpoints) -> None:
    pages = [{"link": f"https://a.example/{n}"} for n in range(1000)]
    early = event(json.dumps({"choices": [], "web_search": pages}))
    async with vendor_that_sends(early, content("a", finish_reason='"stop"'), DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert len(answered.finished.sources) == MOST_SOURCES

"""What chat passes on of a caller's wishes: how much to think, and whether to search the web."""

from typing import Any

import pytest

from exai.providers.base import ModelInfo
from exai.providers.glm import glm
from exai.providers.kimi import kimi
from exai.providers.registry import Registry
from tests.tools.conftest import MakeRegistry
from tests.tools.running import Run
from tests.upstream import Upstream


async def body_of(upstream: Upstream, registry: Registry, model: str, **arguments: Any) -> dict[str, Any]:
    await Run(registry)("chat", prompt="hi", model=model, **arguments)
    body: dict[str, Any] = upstream.requests(model)[-1].body
    return body


def glm_with(upstream: Upstream, info: ModelInfo) -> Registry:
    return Registry([glm(key="k", base_url=upstream.url, models=[info], connect_timeout_s=5, read_timeout_s=5)])


async def test_a_thinking_mode_reaches_a_model_that_thinks(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    registry = serving(ModelInfo(model, 8000, thinking=True), ModelInfo(f"{model}-plain", 8000))
    assert (await body_of(upstream, registry, model, thinking_mode="high"))["reasoning_effort"] == "high"
    assert "reasoning_effort" not in await body_of(upstream, registry, model)
    assert "reasoning_effort" not in await body_of(upstream, registry, f"{model}-plain", thinking_mode="high")


@pytest.mark.parametrize(
    ("arguments", "searches"),
    [({}, True), ({"use_websearch": True}, True), ({"use_websearch": None}, True), ({"use_websearch": False}, False)],
)
async def test_the_web_is_searched_unless_the_caller_says_no(
    upstream: Upstream, model: str, arguments: dict[str, bool | None], searches: bool
) -> None:
    registry = glm_with(upstream, ModelInfo(model, 8000, web_search=True))
    body = await body_of(upstream, registry, model, **arguments)
    await registry.close()
    assert [tool["type"] for tool in body.get("tools", ())] == ["web_search"] * searches


async def test_a_model_that_cannot_search_is_not_asked_to(upstream: Upstream, model: str) -> None:
    registry = glm_with(upstream, ModelInfo(model, 8000))
    assert "tools" not in await body_of(upstream, registry, model, use_websearch=True)
    await registry.close()


async def test_the_sources_of_a_search_stand_in_the_metadata(upstream: Upstream, model: str) -> None:
    upstream.behave(model, sources=[{"title": "One", "link": "https://a.example", "publish_date": "2026-01-02"}])
    registry = glm_with(upstream, ModelInfo(model, 8000, web_search=True))
    searched = await Run(registry)("chat", prompt="hi", model=model)
    plain = await Run(registry)("chat", prompt="hi", model=model, use_websearch=False)
    await registry.close()
    assert searched.metadata["sources"] == [{"url": "https://a.example", "title": "One", "published": "2026-01-02"}]
    assert "sources" not in plain.metadata


async def test_a_search_in_rounds_is_one_answer_to_the_caller(upstream: Upstream, model: str) -> None:
    upstream.behave(model, text="It [rains](https://a.example).", searches=2, search_text="I look.")
    info = ModelInfo(model, 8000, web_search=True)
    registry = Registry(
        [kimi(key="k", base_url=upstream.url, models=[info], connect_timeout_s=5, read_timeout_s=5)],
    )
    run = Run(registry, streams=True)
    answer = await run("chat", prompt="hi", stream=True)
    await registry.close()
    assert answer.content == "".join(run.pieces) == "I look.\n\nI look.\n\nIt [rains](https://a.example)."
    assert answer.metadata["sources"] == [{"url": "https://a.example", "title": "rains"}]
    assert run.stages == [f"Calling {model}"]

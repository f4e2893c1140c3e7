"""An answer is the same whether it streams, is asked for in one piece, or comes in one piece unasked."""

from typing import Any

import pytest

from exai.protocol.values import Usage
from exai.providers.base import FunctionCall, FunctionTool, ModelInfo, Source
from exai.providers.dialect import Dialect
from exai.providers.glm import GlmDialect
from exai.providers.kimi import KimiDialect
from tests.providers.asking import Answer, Endpoints, answer, failure, question
from tests.upstream import Upstream

USAGE = {"prompt": 11, "completion": 7, "cached": 5, "reasoning": 2}
TOLD = Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=2)
CALLS = [
    {"id": "call_a", "name": "weather", "arguments": '{"city": "Zürich 🙂"}'},
    {"id": "call_b", "name": "time", "arguments": "{}"},
]
CALLED = (FunctionCall("call_a", "weather", '{"city": "Zürich 🙂"}'), FunctionCall("call_b", "time", "{}"))
PAGE = {"title": "Ä page", "link": "https://example.org/ä", "publish_date": "2026-01-02", "content": "…"}
TOOL = FunctionTool("weather", "Of a city", {"type": "object"})

FEATURES: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any]]] = {
    "plain": (Dialect(), {"text": "Grüße, 你好 🙂 and\n\nwhat follows"}, {}),
    "cut anywhere": (Dialect(), {"text": "Grüße, 你好 🙂", "split_utf8": True, "comments": True}, {}),
    "reasoning": (Dialect(), {"text": "so", "reasoning": "First this, 🙂 then that"}, {"thinking": "high"}),
    "cut short": (Dialect(), {"text": "so", "finish_reason": "length"}, {}),
    "calls alone": (Dialect(), {"calls": CALLS}, {"tools": (TOOL,)}),
    "calls and text": (Dialect(), {"calls": CALLS, "text": "I ask.", "reasoning": "hm"}, {"tools": (TOOL,)}),
    "glm's search": (GlmDialect("search-prime"), {"text": "so", "sources": [PAGE]}, {"web_search": True}),
    "kimi's search": (
        KimiDialect(),
        {"text": "See [a page](https://example.org/).", "search_text": "I look.", "searches": 2},
        {"web_search": True},
    ),
}


async def asked_in_each_way(
    upstream: Upstream, endpoints: Endpoints, model: str, dialect: Dialect, behaviour: dict[str, Any], **more: Any
) -> list[Answer]:
    info = ModelInfo(model, 8000, thinking=True, tools=True, web_search=True)
    provider = endpoints.make(models=[info], dialect=dialect)
    answers = []
    for stream, ignore_stream in ((True, False), (False, False), (True, True)):
        upstream.behave(model, **behaviour, usage=USAGE, ignore_stream=ignore_stream)
        answers.append(await answer(provider, question(model, stream=stream, **more)))
    return answers


@pytest.mark.parametrize("feature", FEATURES)
async def test_every_feature_gives_the_same(upstream: Upstream, endpoints: Endpoints, model: str, feature: str) -> None:
    dialect, behaviour, more = FEATURES[feature]
    streamed, whole, unasked = await asked_in_each_way(upstream, endpoints, model, dialect, behaviour, **more)
    assert streamed[:3] == whole[:3] == unasked[:3]
    assert [request.body["stream"] for request in upstream.requests(model)][:: len(upstream.requests(model)) // 3] == [
        True,
        False,
        True,
    ]
    expected = behaviour.get("text", "")
    assert streamed.text.endswith(expected)
    assert streamed.reasoning == behaviour.get("reasoning", "")
    assert streamed.finished.calls == (CALLED if "calls" in behaviour else ())
    assert streamed.finished.reason == behaviour.get("finish_reason", "tool_calls" if "calls" in behaviour else "stop")


async def test_calls_that_stream_bit_by_bit_come_out_whole(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    for fragments in (1, 2, 30):
        upstream.behave(model, calls=CALLS, call_fragments=fragments, split_utf8=True, usage=USAGE)
        answered = await answer(endpoints.make(), question(model, tools=(TOOL,)))
        assert (answered.text, answered.finished.calls, answered.finished.usage) == ("", CALLED, TOLD)


async def test_the_pages_of_a_search_are_the_answer_s_sources(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    dialect, behaviour, more = FEATURES["glm's search"]
    streamed, *_ = await asked_in_each_way(upstream, endpoints, model, dialect, behaviour, **more)
    assert streamed.finished.sources == (Source("https://example.org/ä", title="Ä page", published="2026-01-02"),)


@pytest.mark.parametrize("stream", [False, True])
async def test_ten_megabytes_come_whole(upstream: Upstream, endpoints: Endpoints, model: str, stream: bool) -> None:
    text = "0123456789" * 2**20
    upstream.behave(model, text=text, chunks=50)
    assert (await answer(endpoints.make(), question(model, stream=stream))).text == text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", [{"status": 429}, {"break_after_chunks": 1}, {"garbage_after_chunks": 0}])
async def test_a_failure_is_of_the_same_kind(
    upstream: Upstream, endpoints: Endpoints, model: str, stream: bool, behaviour: dict[str, int]
) -> None:
    upstream.behave(model, **behaviour)
    failed = await failure(endpoints.make(), question(model, stream=stream))
    assert failed.details["retryable"] is True

"""Kimi's own ways: searches that are echoed, headers that are sent again, thinking that is switched."""

import json
from typing import Any

import pytest

from exai.protocol.values import Usage
from exai.providers.base import ChatMessage, FunctionCall, FunctionTool, ModelInfo, ModelRequest, Source, Thinking
from exai.providers.kimi import KEPT_CACHE_TOKENS, MOST_SEARCHES, KimiDialect
from exai.providers.openai_compatible import OpenAICompatible
from tests.providers.asking import Endpoints, answer, failure, provider_failure, question
from tests.providers.wire import DONE, STREAM, content, event, vendor_that_sends
from tests.upstream import RecordedRequest, Upstream
from tests.upstream.answer import search

SEARCH_TOOL = {"type": "builtin_function", "function": {"name": "$web_search"}}
USAGE = {"prompt": 10, "completion": 3, "cached": 4, "reasoning": 1}
OWN_TOOL = FunctionTool("weather", "Of a city", {"type": "object"})


def kimi_with(endpoints: Endpoints, *models: str, web_search: bool = True) -> OpenAICompatible:
    infos = [ModelInfo(model, 8000, tools=True, web_search=web_search) for model in models]
    return endpoints.make(models=infos, dialect=KimiDialect())


def echo_of(number: int) -> dict[str, Any]:
    call = search(number)
    return {"role": "tool", "tool_call_id": call.id, "name": "$web_search", "content": call.arguments}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_search_is_answered_by_its_own_arguments(
    upstream: Upstream, endpoints: Endpoints, model: str, stream: bool
) -> None:
    upstream.behave(model, text="It rains.", searches=1, search_text="I look.", reasoning="hm", usage=USAGE)
    answered = await answer(kimi_with(endpoints, model), question(model, web_search=True, stream=stream))
    assert answered.text == "I look.\n\nIt rains."
    assert answered.finished.reason == "stop"
    assert answered.finished.calls == ()
    assert answered.finished.usage == Usage(input_tokens=20, output_tokens=6, cached_tokens=8, reasoning_tokens=2)
    first, second = (request.body for request in upstream.requests(model))
    assert first["tools"] == second["tools"] == [SEARCH_TOOL]
    call = search(0)
    said = {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "hm",
        "tool_calls": [
            {
                "id": call.id,
                "type": "builtin_function",
                "function": {"name": "$web_search", "arguments": call.arguments},
            }
        ],
    }
    assert second["messages"] == [*first["messages"], said, echo_of(0)]


async def test_the_usage_of_rounds_is_unknown_where_one_does_not_tell(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, text="It rains.", searches=1, no_usage=True)
    answered = await answer(kimi_with(endpoints, model), question(model, web_search=True))
    assert (answered.text, answered.finished.usage) == ("It rains.", Usage())


async def test_the_links_of_an_answer_that_was_searched_are_its_sources(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    text = "See [one](https://a.example/1), [again](https://a.example/1), [x](ftp://b), [two](http://b.example)."
    upstream.behave(model, text=text, searches=1)
    provider = kimi_with(endpoints, model)
    searched = await answer(provider, question(model, web_search=True))
    assert searched.finished.sources == (Source("https://a.example/1", "one"), Source("http://b.example", "two"))
    assert (await answer(provider, question(model))).finished.sources == ()


async def test_searches_have_an_end(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, text="Enough.", searches=99)
    answered = await answer(kimi_with(endpoints, model), question(model, web_search=True))
    assert answered.text == "Enough."
    bodies = [request.body for request in upstream.requests(model)]
    assert len(bodies) == MOST_SEARCHES + 1
    assert [body.get("tool_choice") for body in bodies] == [*[None] * MOST_SEARCHES, "none"]


async def test_a_failure_in_a_later_round_carries_the_text_of_the_first(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    # The echo is right only for the arguments that the upstream itself made up.
    upstream.behave(model, calls=[{"id": "1", "name": "$web_search", "arguments": "{}"}], text="I look.")
    failed = await provider_failure(kimi_with(endpoints, model), question(model, web_search=True))
    assert failed.details == {"provider": "vendor", "status": 400, "retryable": False, "partial_text": "I look."}


async def test_what_the_rounds_before_a_failure_took_is_told(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    wrong_echo = [{"id": "1", "name": "$web_search", "arguments": "{}"}]
    upstream.behave(model, calls=wrong_echo, text="", usage=USAGE)
    asked = question(model, web_search=True)
    await provider_failure(kimi_with(endpoints, model), asked)
    assert asked.effort.unanswered == Usage(input_tokens=10, output_tokens=3, cached_tokens=4, reasoning_tokens=1)


@pytest.mark.parametrize("text", ["I look.", ""])
async def test_a_model_that_searches_on_all_the_same_has_said_what_it_has_said(endpoints: Endpoints, text: str) -> None:
    called = {"index": 0, "id": "1", "function": {"name": "$web_search", "arguments": "{}"}}
    choice = {"delta": {"content": text, "tool_calls": [called]}, "finish_reason": "tool_calls"}
    async with vendor_that_sends(event(json.dumps({"choices": [choice]})), DONE) as wire:
        provider = endpoints.make(wire.url, models=[ModelInfo("m", 8000, web_search=True)], dialect=KimiDialect())
        if text:
            answered = await answer(provider, question("m", web_search=True))
            assert answered.text == "\n\n".join([text] * (MOST_SEARCHES + 1))
            assert answered.finished.calls == ()
        else:
            failed = await provider_failure(provider, question("m", web_search=True))
            assert "answered without any text" in failed.message
        assert len(wire.requests) == MOST_SEARCHES + 1


@pytest.mark.parametrize(("asks", "able"), [(False, True), (True, False)])
async def test_nothing_is_searched_unasked_or_by_a_model_that_cannot(
    upstream: Upstream, endpoints: Endpoints, model: str, asks: bool, able: bool
) -> None:
    upstream.behave(model, searches=1)
    await answer(kimi_with(endpoints, model, web_search=able), question(model, web_search=asks))
    [request] = upstream.requests(model)
    assert "tools" not in request.body


async def test_functions_of_the_caller_are_left_to_it(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    calls = [
        {"id": "1", "name": "$web_search", "arguments": "{}"},
        {"id": "2", "name": "weather", "arguments": '{"city":"Bern"}'},
    ]
    upstream.behave(model, calls=calls)
    request = question(model, web_search=True, tools=(OWN_TOOL,))
    answered = await answer(kimi_with(endpoints, model), request)
    assert answered.finished.calls == (FunctionCall("2", "weather", '{"city":"Bern"}'),)
    [sent] = upstream.requests(model)
    assert [tool["function"]["name"] for tool in sent.body["tools"]] == ["weather", "$web_search"]


def keys(requests: list[RecordedRequest]) -> list[str]:
    return [request.headers["idempotency-key"] for request in requests]


async def test_a_request_that_is_repeated_has_the_key_of_the_first(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, status=503, first_failures=2)
    provider = kimi_with(endpoints, model)
    request = question(model, call_id="call-7")
    for _ in range(2):
        await failure(provider, request)
    await answer(provider, request)
    first, second, third = keys(upstream.requests(model))
    assert first == second == third
    assert first.startswith("call-7-")


async def test_rounds_and_other_questions_of_a_call_have_keys_of_their_own(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, searches=2)
    provider = kimi_with(endpoints, model)
    await answer(provider, question(model, call_id="call-7", web_search=True))
    await answer(provider, question(model, "Another", call_id="call-7"))
    found = keys(upstream.requests(model))
    assert len(set(found)) == len(found) == 4


async def test_without_a_call_there_is_no_key(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    await answer(kimi_with(endpoints, model), question(model))
    assert "idempotency-key" not in upstream.requests(model)[0].headers


async def test_the_cache_token_of_an_answer_goes_out_with_the_next_request_of_its_conversation(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    other = f"{model}-other"
    provider = kimi_with(endpoints, model, other)

    async def token_sent(conversation: str, named: str = model) -> str | None:
        await answer(provider, question(named, conversation=conversation))
        return upstream.requests(named)[-1].headers.get("msh-context-cache-token")

    upstream.behave(model, answer_headers={"Msh-Context-Cache-Token": "token-1", "Msh-Context-Cache-Token-Saved": "9"})
    assert await token_sent("talk") is None
    upstream.behave(model, answer_headers={"Msh-Context-Cache-Token": "token-2"})
    assert await token_sent("talk") == "token-1"
    upstream.behave(model)
    assert await token_sent("talk") == "token-2"
    assert await token_sent("talk") == "token-2"
    assert await token_sent("another talk") is None
    assert await token_sent("talk", other) is None


async def test_a_request_outside_of_conversations_leaves_no_cache_token(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, answer_headers={"Msh-Context-Cache-Token": "token-1"})
    provider = kimi_with(endpoints, model)
    for _ in range(2):
        await answer(provider, question(model))
    assert "msh-context-cache-token" not in upstream.requests(model)[1].headers


def test_cache_tokens_are_kept_for_the_latest_conversations_only() -> None:
    dialect = KimiDialect()

    def request(number: int) -> ModelRequest:
        return ModelRequest("m", (ChatMessage("user", "hi"),), conversation=str(number))

    for number in range(KEPT_CACHE_TOKENS):
        dialect.heard(request(number), {"Msh-Context-Cache-Token": f"t{number}"})
    dialect.heard(request(0), {"Msh-Context-Cache-Token": "t0-again"})
    dialect.heard(request(KEPT_CACHE_TOKENS), {"Msh-Context-Cache-Token": "t"})
    dialect.heard(request(2), {"Msh-Context-Cache-Token": "x" * 2000})
    sent = [(dialect.headers(request(number), b"") or {}).get("Msh-Context-Cache-Token") for number in range(3)]
    assert sent == ["t0-again", None, "t2"]


async def test_an_odd_token_of_a_vendor_breaks_nothing(endpoints: Endpoints) -> None:
    status, headers = STREAM
    head = status, {**headers, "Msh-Context-Cache-Token": "ü\x7f"}
    async with vendor_that_sends(content("a", finish_reason='"stop"'), DONE, head=head) as wire:
        provider = endpoints.make(wire.url, dialect=KimiDialect())
        for _ in range(2):
            assert (await answer(provider, question("m", conversation="c"))).text == "a"


@pytest.mark.parametrize(
    ("named", "thinking", "searches", "sent"),
    [
        ("kimi-thinking-preview", "high", False, None),
        ("kimi-k2-thinking", "minimal", False, None),
        ("kimi-k2-0905-preview", "high", True, None),
        ("kimi-k2.5", None, False, None),
        ("kimi-k2.5", "high", False, "enabled"),
        ("kimi-k2.6", "minimal", False, "disabled"),
        ("kimi-k2.6", "high", True, "disabled"),
        ("kimi-k3", None, True, "disabled"),
    ],
)
def test_models_that_take_it_are_told_whether_to_think(
    named: str, thinking: Thinking | None, searches: bool, sent: str | None
) -> None:
    body: dict[str, Any] = {}
    info = ModelInfo(named, 8000, thinking=True, web_search=True)
    KimiDialect().complete(body, question(named, thinking=thinking, web_search=searches), info)
    assert body.get("thinking") == (sent and {"type": sent})
    assert "reasoning_effort" not in body

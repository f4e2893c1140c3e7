"""The tools that speak a vendor's own language: what they send of it, what they answer, what they cost."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from exai.tools.prompts import prompt
from tests.conftest import MakeClient
from tests.gateway.wire import wire
from tests.hub import RunningHub
from tests.upstream import Upstream
from tests.vendor_tools.agent import GLM_KEY, KIMI_KEY, Agent

FUNCTION = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
    },
}
INTENT = {
    "needs_websearch": True,
    "complexity": "deep",
    "domain": "security",
    "recommended_provider": "somebody",
    "recommended_model": "GLM-4.6",
    "streaming_preferred": False,
    "notes": "It names a CVE.",
}
_DEFAULT_MODELS = ("kimi-k2-0905-preview", "kimi-k2-0711-preview", "glm-4.5-flash")


@pytest.fixture
def defaults(upstream: Upstream) -> Iterator[Upstream]:
    """The upstream, with what it does for the models that tools ask by default taken back in the end."""
    yield upstream
    for model in _DEFAULT_MODELS:
        upstream.behave(model)


async def spent(database: psycopg.Connection, name: str) -> tuple[Any, ...]:
    """Of the client's last call, once it is on record: tool, model, tokens in and out."""
    give_up_at = time.monotonic() + 8
    while time.monotonic() < give_up_at:
        rows = database.execute(
            "SELECT tool, model, input_tokens, output_tokens FROM tool_calls"
            " WHERE client_id = (SELECT id FROM clients WHERE name = %s) ORDER BY started_at DESC LIMIT 1",
            (name,),
        ).fetchall()
        if rows:
            return tuple(rows[0])
        await asyncio.sleep(0.02)
    raise AssertionError("the call is not on record")


async def test_messages_and_functions_go_to_kimi_as_they_are_and_its_calls_come_back(
    agent: Agent, upstream: Upstream, kimi_model: str, database: psycopg.Connection
) -> None:
    call = {"id": "call-1", "name": "add", "arguments": '{"a": 1}'}
    upstream.behave(kimi_model, text="Adding.", calls=[call], usage={"prompt": 11, "completion": 7, "cached": 5})
    asked = {"id": "call-0", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Add."},
        "One and two?",
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call-0", "content": "3"},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "now?"}]},
    ]
    answer = await agent.plain(
        "kimi_chat_with_tools", messages=messages, model=kimi_model, tools=[FUNCTION], tool_choice="auto"
    )
    [request] = upstream.requests(kimi_model)
    assert request.body["messages"] == [
        messages[0],
        {"role": "user", "content": "One and two?"},
        messages[2],
        messages[3],
        {"role": "user", "content": "And\nnow?"},
    ]
    assert request.body["tools"] == [FUNCTION]
    assert (request.body["tool_choice"], request.body["temperature"]) == ("auto", 0.6)
    told = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert (answer["provider"], answer["model"], answer["content"]) == ("kimi", kimi_model, "Adding.")
    assert answer["tool_calls"] == [told]
    assert answer["usage"] == {"input_tokens": 11, "output_tokens": 7, "cached_tokens": 5, "reasoning_tokens": 0}
    [choice] = answer["raw"]["choices"]
    assert (choice["finish_reason"], choice["message"]["tool_calls"]) == ("tool_calls", [told])
    assert await spent(database, agent.name) == ("kimi_chat_with_tools", kimi_model, 11, 7)


async def test_a_question_alone_is_streamed_when_asked(agent: Agent, upstream: Upstream, kimi_model: str) -> None:
    upstream.behave(kimi_model, text="one two three four", chunks=4)
    async with wire(agent.hub.ws_url, agent.token) as connection:
        frames = await connection.call(
            "kimi_chat_with_tools", {"messages": "Count", "model": kimi_model, "stream": True}
        )
    assert [frame["chunk"] for frame in frames if frame["op"] == "stream_chunk"] != []
    assert "".join(frame["chunk"] for frame in frames if frame["op"] == "stream_chunk") == "one two three four"
    assert json.loads(frames[-1]["outputs"][0]["text"])["content"] == "one two three four"
    body = upstream.requests(kimi_model)[0].body
    assert body["messages"] == [{"role": "user", "content": "Count"}]
    assert not {"tools", "tool_choice"} & set(body)


@pytest.mark.parametrize(
    "wish",
    [
        {"use_websearch": True},
        {"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}], "tool_choice": "auto"},
    ],
)
async def test_kimi_searches_the_web_when_told_by_either_way(
    agent: Agent, upstream: Upstream, kimi_model: str, wish: dict[str, Any]
) -> None:
    upstream.behave(kimi_model, text="Found.", searches=1)
    answer = await agent.plain("kimi_chat_with_tools", messages="News?", model=kimi_model, **wish)
    assert (answer["content"], answer["tool_calls"]) == ("Found.", [])
    assert [len(request.body["tools"]) for request in upstream.requests(kimi_model)] == [1, 1]


async def test_without_a_model_kimis_default_is_asked(agent: Agent, defaults: Upstream) -> None:
    defaults.behave("kimi-k2-0711-preview", text="Default.")
    for given in ({}, {"model": None}, {"model": "auto"}):
        answer = await agent.plain("kimi_chat_with_tools", messages=f"Hi {given}", **given)
        assert (answer["model"], answer["content"]) == ("kimi-k2-0711-preview", "Default.")


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("messages", {"messages": []}),
        ("messages", {"messages": ["hi"] * 10_001}),
        ("messages.1", {"messages": ["hi", {"role": "owner", "content": "x"}]}),
        ("messages.0", {"messages": [{"role": "user", "content": 5}]}),
        ("messages.0", {"messages": [{"role": "tool", "content": "3"}]}),
        ("messages.0", {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}),
        ("messages.0", {"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}),
        ("tools.0", {"tools": [{"type": "function"}]}),
        ("tools.0", {"tools": [{"type": "retrieval"}]}),
        ("tools.1", {"tools": [FUNCTION, {"type": "function", "function": {"name": "a", "parameters": []}}]}),
        ("tools", {"tools": [FUNCTION] * 129}),
        ("model", {"model": "glm-4.6"}),
        ("model", {"model": "no-such-model"}),
    ],
)
async def test_what_is_no_message_or_function_is_refused_by_its_place(
    agent: Agent, upstream: Upstream, kimi_model: str, field: str, arguments: dict[str, Any]
) -> None:
    error = await agent.refusal("kimi_chat_with_tools", **{"messages": "hi", "model": kimi_model, **arguments})
    assert error["code"] == "VALIDATION_ERROR"
    assert list(error["details"]) == [field]
    assert upstream.requests(kimi_model) == []


async def test_whoever_names_an_unknown_model_is_told_of_those_that_this_tool_asks(agent: Agent) -> None:
    error = await agent.refusal("kimi_chat_with_tools", messages="hi", model="no-such-model")
    assert "kimi-k2-0905-preview" in error["message"]
    assert "glm" not in error["message"]


async def test_messages_beyond_the_models_context_are_refused(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    error = await agent.refusal("kimi_chat_with_tools", messages="x " * 250_000, model=kimi_model)
    assert (error["code"], error["details"]["limit"]) == ("CONTENT_TOO_LARGE", 100_000)
    assert upstream.requests(kimi_model) == []


async def test_a_budget_holds_for_raw_requests_too(
    vendor_environment: dict[str, str],
    make_client: MakeClient,
    upstream: Upstream,
    kimi_model: str,
    database: psycopg.Connection,
) -> None:
    name, token = make_client(profile="full")
    database.execute(
        "INSERT INTO budgets (client_id, workspace, period, unit, amount)"
        " SELECT id, '', 'day', 'tokens', 1500 FROM clients WHERE name = %s",
        (name,),
    )
    upstream.behave(kimi_model, usage={"prompt": 400, "completion": 400})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("kimi_chat_with_tools", {"messages": "One"}),
        ("kimi_chat_with_tools", {"messages": "Two"}),
        ("kimi_capture_headers", {"messages": [{"role": "user", "content": "Three"}]}),
    ]
    with RunningHub(vendor_environment) as hub:
        agent = Agent(hub, name, token)
        frames = [await agent(tool, model=kimi_model, **arguments) for tool, arguments in calls]
    assert [frame["ok"] for frame in frames] == [True, False, False]
    assert {frame["error"]["code"] for frame in frames[1:]} == {"BUDGET_EXCEEDED"}
    assert len(upstream.requests(kimi_model)) == 1


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("kimi_intent_analysis", {"prompt": "hi"}),
        ("kimi_capture_headers", {"messages": [{"role": "user", "content": "hi"}]}),
        ("smart_file_query", {"file_path": "data:,x", "question": "?", "provider": "kimi"}),
    ],
)
async def test_what_a_model_is_asked_is_on_record_with_its_tokens(
    agent: Agent, defaults: Upstream, database: psycopg.Connection, tool: str, arguments: dict[str, Any]
) -> None:
    for model in _DEFAULT_MODELS:
        defaults.behave(model, text=json.dumps(INTENT), usage={"prompt": 13, "completion": 3})
    assert (await agent(tool, **arguments))["ok"]
    recorded = await spent(database, agent.name)
    assert (recorded[0], *recorded[2:]) == (tool, 13, 3)
    assert recorded[1] in _DEFAULT_MODELS


async def test_the_headers_of_an_answer_are_told_without_secrets(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    upstream.behave(
        kimi_model,
        text="Hi.",
        answer_headers={
            "X-RateLimit-Remaining-Tokens": "5",
            "Msh-Context-Cache-Token": "cache-1",
            "X-Request-Id": f"id-of-{KIMI_KEY}",
            "Set-Cookie": "session=secret",
            "X-Account": "secret",
        },
    )
    asked = {"messages": [{"role": "user", "content": "Hi"}], "model": kimi_model, "session_id": "s", "call_key": "k"}
    told = await agent.json("kimi_capture_headers", **asked)
    assert (told["provider"], told["model"], told["content"]) == ("kimi", kimi_model, "Hi.")
    headers = told["headers"]
    assert (headers["x-ratelimit-remaining-tokens"], headers["msh-context-cache-token"]) == ("5", "cache-1")
    assert headers["x-request-id"] == "id-of-…"
    assert "secret" not in json.dumps(told)
    assert not {"set-cookie", "x-account", "authorization"} & set(headers)


async def test_a_session_sends_its_own_cache_token_again_and_nobody_elses(
    agent: Agent, upstream: Upstream, kimi_model: str, make_client: MakeClient
) -> None:
    other = Agent(agent.hub, *make_client(profile="full"))
    upstream.behave(kimi_model, answer_headers={"Msh-Context-Cache-Token": "cache-1"})
    messages = [{"role": "user", "content": "Hi"}]
    for who, session in ((agent, "s"), (agent, "s"), (agent, "t"), (other, "s"), (agent, None)):
        await who.json("kimi_capture_headers", messages=messages, model=kimi_model, session_id=session)
    sent = [request.headers.get("msh-context-cache-token") for request in upstream.requests(kimi_model)]
    assert sent == [None, "cache-1", None, None, None]


async def test_a_refusal_tells_its_headers_too(agent: Agent, upstream: Upstream, kimi_model: str) -> None:
    upstream.behave(kimi_model, status=400, retry_after=7)
    error = await agent.refusal("kimi_capture_headers", messages=[{"role": "user", "content": "Hi"}], model=kimi_model)
    assert error["code"] == "PROVIDER_ERROR"
    assert error["details"]["headers"]["retry-after"] == "7"


async def test_an_intent_is_sorted_by_kimi_among_the_models_that_there_are(agent: Agent, defaults: Upstream) -> None:
    before = len(defaults.requests("kimi-k2-0905-preview"))
    defaults.behave("kimi-k2-0905-preview", text=f"```json\n{json.dumps(INTENT)}\n```")
    answer = await agent.plain("kimi_intent_analysis", prompt="Is CVE-1 bad?", context="a server", use_websearch=False)
    assert answer == {
        **INTENT,
        "recommended_provider": "glm",
        "recommended_model": "glm-4.6",
        "analysed_by": "kimi/kimi-k2-0905-preview",
    }
    [request] = defaults.requests("kimi-k2-0905-preview")[before:]
    system, asked = (message["content"] for message in request.body["messages"])
    assert system == prompt("kimi_intent_analysis")
    told = json.loads(asked)
    assert (told["request"], told["context"]) == ("Is CVE-1 bad?", "a server")
    assert {"glm", "kimi"} <= {listed["provider"] for listed in told["models"]}
    assert "tools" not in request.body
    defaults.behave("kimi-k2-0905-preview", text=json.dumps({**INTENT, "recommended_model": "gpt-9"}))
    unknown = await agent.plain("kimi_intent_analysis", prompt="Is CVE-2 bad?")
    assert (unknown["recommended_model"], unknown["recommended_provider"]) == ("auto", "auto")
    assert "tools" in defaults.requests("kimi-k2-0905-preview")[-1].body


@pytest.mark.parametrize("text", ["I would say deep.", "{", '{"complexity": "deep"}', '{"needs_websearch": "yes"}'])
async def test_an_intent_that_is_no_json_is_the_vendors_failure(agent: Agent, defaults: Upstream, text: str) -> None:
    defaults.behave("kimi-k2-0905-preview", text=text)
    error = await agent.refusal("kimi_intent_analysis", prompt=f"Sort {text}")
    assert (error["code"], error["details"]["partial_text"]) == ("PROVIDER_ERROR", text)
    assert (await agent.refusal("kimi_intent_analysis", prompt=" "))["code"] == "VALIDATION_ERROR"


async def test_a_web_search_is_asked_of_glm_in_its_own_words(agent: Agent, vendor: Upstream, number: int) -> None:
    page = {"title": "One", "link": "https://a.example", "content": "Text", "media": "A", "publish_date": "2026-01-02"}
    vendor.behave(GLM_KEY, sources=[page])
    query = f"weather {number}"
    told = await agent.json("glm_web_search", search_query=query)
    assert told == {
        "query": query,
        "count": 1,
        "results": [
            {"url": "https://a.example", "title": "One", "published": "2026-01-02", "content": "Text", "site": "A"}
        ],
    }
    await agent.json(
        "glm_web_search",
        search_query=query,
        count=3,
        search_engine="search_pro",
        search_domain_filter="a.example",
        search_recency_filter="oneDay",
        request_id="r-1",
        user_id="u-1",
    )
    plain, full = [
        request.body
        for request in vendor.requests(GLM_KEY)
        if request.path == "/v1/web_search" and request.body["search_query"] == query
    ]
    assert plain == {
        "search_engine": "search-prime",
        "search_query": query,
        "count": 10,
        "search_recency_filter": "noLimit",
    }
    assert full == {
        "search_engine": "search_pro",
        "search_query": query,
        "count": 3,
        "search_recency_filter": "oneDay",
        "search_domain_filter": "a.example",
        "request_id": "r-1",
        "user_id": "u-1",
    }


async def test_a_search_that_cannot_be_or_fails_is_refused(agent: Agent, vendor: Upstream) -> None:
    for arguments in ({"search_query": " "}, {"search_query": "x", "count": 51}, {"search_query": "x", "count": 0}):
        error = await agent.refusal("glm_web_search", **arguments)
        assert (error["code"], set(error["details"]) <= set(arguments)) == ("VALIDATION_ERROR", True)
    vendor.behave(GLM_KEY, status=401)
    error = await agent.refusal("glm_web_search", search_query="x")
    assert (error["code"], "ZAI_API_KEY" in error["message"]) == ("PROVIDER_ERROR", True)


async def test_what_glm_would_be_sent_is_shown_and_not_sent(agent: Agent, upstream: Upstream, glm_model: str) -> None:
    told = await agent.json(
        "glm_payload_preview",
        prompt="Hi",
        model=glm_model,
        system_prompt="Be brief.",
        tools=[FUNCTION],
        tool_choice="auto",
        use_websearch=True,
    )
    assert upstream.requests(glm_model) == []
    payload = told["payload"]
    assert payload["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (payload["model"], payload["temperature"], payload["tool_choice"]) == (glm_model, 0.3, "auto")
    assert payload["tools"][0] == FUNCTION
    assert payload["tools"][1]["web_search"]["search_engine"] == "search-prime"
    assert GLM_KEY not in json.dumps(told)
    default = await agent.json("glm_payload_preview", prompt="Hi", tool_choice=None, system_prompt=None)
    assert default["payload"]["model"] == "glm-4.5-flash"
    assert "tools" not in default["payload"]


async def test_the_preview_is_what_chat_sends(agent: Agent, upstream: Upstream, glm_model: str) -> None:
    await agent("chat", prompt="Hi", model=glm_model, temperature=0.3, use_websearch=True)
    [sent] = upstream.requests(glm_model)
    told = await agent.json(
        "glm_payload_preview", prompt="Hi", model=glm_model, system_prompt=prompt("chat"), use_websearch=True
    )
    assert told["payload"] == sent.body


@pytest.mark.parametrize(
    ("tool", "arguments", "setting"),
    [
        ("kimi_upload_files", {"files": [{"name": "a.txt", "content": "x"}]}, "MOONSHOT_API_KEY"),
        ("kimi_chat_with_files", {"prompt": "?", "file_ids": ["file-1"]}, "MOONSHOT_API_KEY"),
        ("kimi_manage_files", {"operation": "list"}, "MOONSHOT_API_KEY"),
        ("kimi_chat_with_tools", {"messages": "hi"}, "MOONSHOT_API_KEY"),
        ("kimi_intent_analysis", {"prompt": "hi"}, "MOONSHOT_API_KEY"),
        ("kimi_capture_headers", {"messages": [{"role": "user", "content": "hi"}]}, "MOONSHOT_API_KEY"),
        ("glm_upload_file", {"file": "data:,x"}, "ZAI_API_KEY"),
        ("glm_web_search", {"search_query": "x"}, "ZAI_API_KEY"),
        ("glm_payload_preview", {"prompt": "x"}, "ZAI_API_KEY"),
    ],
)
async def test_a_vendor_that_is_not_configured_is_named_with_what_to_set(
    hub: RunningHub, make_client: MakeClient, tool: str, arguments: dict[str, Any], setting: str
) -> None:
    error = await Agent(hub, *make_client(profile="full")).refusal(tool, **arguments)
    assert error["code"] == "VALIDATION_ERROR"
    assert setting in error["message"]
    assert "Endpoints" in error["message"]

"""Conversations end to end: what is remembered, what is sent to the model again, whose they are, one call at a time."""

import asyncio
import json
import uuid
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


async def _say(connection: Wire, prompt: str, **arguments: Any) -> Frame:
    """One turn; its envelope."""
    result = (await connection.call("chat", {"prompt": prompt, **arguments}))[-1]
    assert result["ok"], result["error"]
    return envelope(result)


def _continuation(answer: Frame) -> str:
    return str(answer["continuation_offer"]["continuation_id"])


def _sent(upstream: Upstream, model: str) -> list[tuple[str, str]]:
    """The messages of the last request for the model, without the system prompt."""
    messages = upstream.requests(model)[-1].body["messages"]
    return [(message["role"], message["content"]) for message in messages[1:]]


async def test_turn_n_sends_all_earlier_turns_oldest_first(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        answer = await _say(connection, "one", model=model)
        continuation_id = _continuation(answer)
        for prompt in ("two", "three"):
            answer = await _say(connection, prompt, continuation_id=continuation_id)
    assert _sent(upstream, model) == [
        ("user", "one"),
        ("assistant", "You said: one"),
        ("user", "two"),
        ("assistant", "You said: two"),
        ("user", "three"),
    ]
    assert _continuation(answer) == continuation_id
    assert answer["continuation_offer"]["remaining_turns"] == 17


async def test_the_model_of_the_last_answer_stays_unless_another_is_named(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        first = await _say(connection, "one", model=model)
        stayed = await _say(connection, "two", continuation_id=_continuation(first))
        changed = await _say(connection, "three", continuation_id=_continuation(first), model="exai-echo")
        after = await _say(connection, "four", continuation_id=_continuation(first), model="auto")
    used = [answer["metadata"]["model_used"] for answer in (first, stayed, changed, after)]
    assert used == [model, model, "exai-echo", "exai-echo"]


async def test_a_conversation_stays_with_its_vendor_where_two_offer_its_model(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    endpoints = [{"name": name, "url": upstream.url, "models": [model]} for name in ("first", "second")]
    with RunningHub({**hub_environment, "EXAI_ENDPOINTS": json.dumps(endpoints)}) as hub:
        async with wire(hub.ws_url, token) as connection:
            begun = await _say(connection, "one", model=f"second/{model}")
            followed = await _say(connection, "two", continuation_id=_continuation(begun))
            changed = await _say(connection, "three", continuation_id=_continuation(begun), model=model)
            after = await _say(connection, "four", continuation_id=_continuation(begun))
    used = [answer["metadata"]["provider_used"] for answer in (begun, followed, changed, after)]
    assert used == ["second", "second", "first", "first"]
    stored = database.execute(
        "SELECT model FROM conversations WHERE continuation_id = %s", (_continuation(begun),)
    ).fetchone()
    assert stored == (model,)


async def test_what_does_not_fit_the_context_is_left_out_whole_turns_oldest_first(
    hub: RunningHub, token: str, upstream: Upstream
) -> None:
    model = "small-0"  # 1000 tokens of context, of which 250 are kept for the answer
    upstream.behave(model, text="short")
    async with wire(hub.ws_url, token) as connection:
        first = await _say(connection, "a" * 1000, model=model)
        second = await _say(connection, "b" * 1000, continuation_id=_continuation(first))
        third = await _say(connection, "c" * 100, continuation_id=_continuation(first))
    assert "turns_left_out" not in first["metadata"]
    assert second["metadata"].get("turns_left_out", 0) in (0, 1)
    assert third["metadata"]["turns_left_out"] == 1
    assert [content[0] for role, content in _sent(upstream, model) if role == "user"] == ["b", "c"]


async def test_a_prompt_larger_than_the_context_is_refused_before_the_vendor_is_asked(
    hub: RunningHub, token: str, upstream: Upstream
) -> None:
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {"prompt": "x" * 10_000, "model": "small-1"}))[-1]
    assert result["error"]["code"] == "CONTENT_TOO_LARGE"
    assert upstream.requests("small-1") == []


async def test_remaining_turns_are_true_to_the_last_and_a_full_conversation_says_so(
    hub_environment: dict[str, str], token: str, model: str
) -> None:
    with RunningHub({**hub_environment, "MAX_CONVERSATION_TURNS": "2"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            first = await _say(connection, "one", model=model)
            assert first["continuation_offer"]["remaining_turns"] == 1
            second = await _say(connection, "two", continuation_id=_continuation(first))
            assert second["continuation_offer"] is None
            assert second["status"] == "success"
            assert second["metadata"]["conversation_ready"] is False
            refused = (await connection.call("chat", {"prompt": "three", "continuation_id": _continuation(first)}))[-1]
    assert refused["error"]["code"] == "VALIDATION_ERROR"
    assert "full" in refused["error"]["message"]
    assert "new one" in refused["error"]["message"]


async def test_unknown_foreign_and_expired_ids_are_refused_in_the_same_words(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, model: str
) -> None:
    _, mine = make_client()
    _, other = make_client()
    async with wire(hub.ws_url, mine) as connection:
        foreign = _continuation(await _say(connection, "secret", model=model))
        expired = _continuation(await _say(connection, "old", model=model))
    database.execute(
        "UPDATE conversations SET updated_at = now() - interval '25 hours' WHERE continuation_id = %s", (expired,)
    )
    messages = set()
    for token, continuation_id in (
        (other, foreign),
        (mine, expired),
        (mine, str(uuid.uuid4())),
        (mine, "no uuid"),
    ):
        async with wire(hub.ws_url, token) as connection:
            result = (await connection.call("chat", {"prompt": "x", "continuation_id": continuation_id}))[-1]
        assert result["error"]["code"] == "NOT_FOUND"
        messages.add(json.dumps(result["error"]))
    assert len(messages) == 1
    assert "new one" in messages.pop()


async def test_clients_of_one_workspace_share_conversations(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    name, first = make_client()
    _, second = make_client(workspace=name)
    async with wire(hub.ws_url, first) as connection:
        begun = await _say(connection, "one", model=model)
    async with wire(hub.ws_url, second) as connection:
        await _say(connection, "two", continuation_id=_continuation(begun))
    assert ("user", "one") in _sent(upstream, model)


async def test_a_turn_is_stored_whole_with_its_call_record(
    hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    upstream.behave(model, text="Four.", reasoning="2+2", usage={"prompt": 11, "completion": 3})
    async with wire(hub.ws_url, token) as connection:
        answer = await _say(connection, "What is 2+2?\nPlease.", model=model)
    # No waiting: a turn is answered only once it is stored.
    row = database.execute(
        "SELECT id, title, model, workspace FROM conversations WHERE continuation_id = %s", (_continuation(answer),)
    ).fetchone()
    assert row is not None
    conversation, title, stored_model, workspace = row
    assert (title, stored_model) == ("What is 2+2?", model)
    messages = database.execute(
        "SELECT position, role, content, model, provider, tokens, metadata->>'reasoning' FROM messages"
        " WHERE conversation_id = %s ORDER BY position",
        (conversation,),
    ).fetchall()
    assert messages == [
        (0, "user", "What is 2+2?\nPlease.", "", "", None, None),
        (1, "assistant", "Four.", model, "upstream", 3, "2+2"),
    ]
    calls = database.execute(
        "SELECT tool, status, workspace, input_tokens, output_tokens, cost, total_ms > 0, ended_at >= started_at"
        " FROM tool_calls WHERE conversation_id = %s",
        (conversation,),
    ).fetchall()
    assert calls == [("chat", "succeeded", workspace, 11, 3, None, True, True)]


async def test_a_failed_call_adds_no_turn(
    hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    async with wire(hub.ws_url, token) as connection:
        begun = await _say(connection, "one", model=model)
        upstream.behave(model, status=500)
        goes_on = {"prompt": "two", "continuation_id": _continuation(begun), "allow_fallback": False}
        failed = (await connection.call("chat", goes_on))[-1]
        assert not failed["ok"], failed
        upstream.behave(model)
        again = await _say(connection, "two again", continuation_id=_continuation(begun))
    assert again["continuation_offer"]["remaining_turns"] == 18
    assert [content for role, content in _sent(upstream, model) if role == "user"] == ["one", "two again"]


async def test_two_calls_on_one_conversation_run_one_after_the_other(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        continuation_id = _continuation(await _say(connection, "one", model=model))
        upstream.behave(model, delay_s=0.3)
        for request_id in ("a", "b"):
            await connection.start("chat", {"prompt": request_id, "continuation_id": continuation_id}, request_id)
        frames = await _until_ended(connection, {"a", "b"})
    assert "Waiting for another call on this conversation" in {frame.get("message") for frame in frames}
    assert [content for role, content in _sent(upstream, model) if role == "user"] == ["one", "a", "b"]


async def test_that_order_holds_across_processes(
    hub: RunningHub, hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    with RunningHub(hub_environment) as other:
        async with wire(hub.ws_url, token) as first, wire(other.ws_url, token) as second:
            continuation_id = _continuation(await _say(first, "one", model=model))
            upstream.behave(model, delay_s=0.4)
            await first.start("chat", {"prompt": "a", "continuation_id": continuation_id}, "a")
            await first.until("progress", "a")
            await asyncio.to_thread(upstream.wait_for_requests, model, 2)
            await second.start("chat", {"prompt": "b", "continuation_id": continuation_id}, "b")
            frames = await _until_ended(second, {"b"})
            await first.until("call_tool_res", "a")
    assert "Waiting for another call on this conversation" in {frame.get("message") for frame in frames}
    assert [content for role, content in _sent(upstream, model) if role == "user"] == ["one", "a", "b"]


async def test_a_foreign_client_that_knows_the_id_cannot_hold_a_conversation_up(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    _, mine = make_client()
    _, other = make_client()
    async with wire(hub.ws_url, mine) as owner, wire(hub.ws_url, other) as attacker:
        continuation_id = _continuation(await _say(owner, "one", model=model))
        upstream.behave(model, delay_s=0.5)
        await owner.start("chat", {"prompt": "two", "continuation_id": continuation_id})
        await owner.until("progress")
        refused = await attacker.call("chat", {"prompt": "x", "continuation_id": continuation_id})
        # Not even that the conversation is busy is told.
        assert not any(frame.get("message") for frame in refused)
        assert refused[-1]["error"]["code"] == "NOT_FOUND"
        assert (await owner.until("call_tool_res"))[-1]["ok"]


@pytest.mark.parametrize("processes", [1, 2])
async def test_many_turns_at_once_all_find_their_place(
    hub: RunningHub,
    hub_environment: dict[str, str],
    token: str,
    model: str,
    database: psycopg.Connection,
    processes: int,
) -> None:
    with RunningHub(hub_environment) as other:
        urls = [hub.ws_url, other.ws_url][:processes]
        async with wire(urls[0], token) as connection:
            continuation_id = _continuation(await _say(connection, "first", model=model))

        async def turn(number: int) -> None:
            async with wire(urls[number % processes], token) as connection:
                await _say(connection, f"turn {number}", continuation_id=continuation_id)

        await asyncio.gather(*(turn(number) for number in range(10)))
    rows = database.execute(
        "SELECT position, role FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE continuation_id = %s ORDER BY position",
        (continuation_id,),
    ).fetchall()
    assert rows == [(position, ("user", "assistant")[position % 2]) for position in range(22)]


async def _until_ended(connection: Wire, request_ids: set[str]) -> list[Frame]:
    frames = []
    while request_ids:
        frames.append(await connection.receive())
        if frames[-1]["op"] == "call_tool_res":
            assert frames[-1]["ok"], frames[-1]
            request_ids = request_ids - {frames[-1]["request_id"]}
    return frames

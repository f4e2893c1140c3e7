"""consensus over the wire: as long as its slowest model, its answers shown as they come, its budget kept."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_ids = count()


@pytest.fixture
def models(upstream: Upstream, make_model: Callable[[], str]) -> list[str]:
    """In the order of how long they take: 0.3, 0.6 and 0.9 s."""
    names = [make_model() for _ in range(3)]
    for name, delay_s in zip(names, (0.3, 0.6, 0.9), strict=True):
        upstream.behave(name, text=f"After {delay_s} s", delay_s=delay_s)
    return names


async def _ask(connection: Wire, models: list[str], **given: Any) -> list[Frame]:
    arguments = {
        "step": "Shall we shard?",
        "step_number": 1,
        "total_steps": 1,
        "next_step_required": False,
        **({"models": [{"model": name} for name in models]} if models else {}),
        **given,
    }
    return await connection.call("consensus", arguments, f"consensus-{next(_ids)}")


def _record(database: psycopg.Connection, tool: str, client: str) -> tuple[Any, ...]:
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        row = database.execute(
            "SELECT t.model, t.provider, t.price_version, t.status, t.input_tokens + t.output_tokens"
            " FROM tool_calls t JOIN clients c ON c.id = t.client_id WHERE t.tool = %s AND c.name = %s",
            (tool, client),
        ).fetchone()
        if row is not None:
            return row
        time.sleep(0.01)
    raise AssertionError("the call was not recorded")


async def test_it_takes_as_long_as_its_slowest_model_and_a_failing_one_is_told(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, database: psycopg.Connection, models: list[str]
) -> None:
    upstream.behave(models[1], status=400, delay_s=0.6)
    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        frames = await _ask(connection, models, use_assistant_model=False)
    answer = envelope(frames[-1])
    assert [response["status"] for response in answer["model_responses"]] == ["success", "error", "success"]
    asked_at = [upstream.requests(each)[0].received_at for each in models]
    assert max(asked_at) - min(asked_at) < 0.3, "all are asked before the first of them answers"
    provider_ms = frames[-1]["outputs"][0]["metadata"]["latency_metrics"]["provider_ms"]
    assert 900 <= provider_ms < 1600, "the sum of them is 1800"
    told = [frame["message"] for frame in frames if frame["op"] == "progress"]
    news = list(dict.fromkeys(message for message in told if " of 3: " in message))
    assert [message.partition(" answered")[0].partition(" failed")[0] for message in news] == [
        f"{number} of 3: {each} (neutral)" for number, each in enumerate(models, 1)
    ]
    assert _record(database, "consensus", name)[:4] == ("several", "upstream", "several", "succeeded")


async def test_its_conversation_goes_on_with_the_model_that_summed_up(
    hub: RunningHub, token: str, upstream: Upstream, model: str, models: list[str]
) -> None:
    upstream.behave(model, text="All agree.")
    async with wire(hub.ws_url, token) as connection:
        first = envelope((await _ask(connection, models, next_step_required=True))[-1])
        assert (first["status"], first["metadata"]["model_used"]) == ("pause_for_consensus", "several")
        chosen = {"continuation_id": first["continuation_id"], "model": model}
        last = envelope((await _ask(connection, [], step_number=2, findings="Rather not.", **chosen))[-1])
        assert (last["status"], last["content"]) == ("consensus_complete", "All agree.")
        chat = {"prompt": "Why?", "continuation_id": first["continuation_id"]}
        told = envelope((await connection.call("chat", chat, "chat"))[-1])
    assert (told["metadata"]["model_used"], told["metadata"]["why"]) == (model, "the conversation's model")
    contents = [message["content"] for message in upstream.requests(model)[-1].body["messages"]]
    assert contents[1] == "Shall we shard?"
    assert all(f"After {delay_s} s" in contents[2] for delay_s in (0.3, 0.6, 0.9))
    assert contents[3:] == ["Shall we shard?\n\nRather not.", "All agree.", "Why?"]
    assert [len(upstream.requests(each)) for each in models] == [1, 1, 1]


async def test_a_model_for_which_the_budget_has_no_room_is_not_asked(
    hub_environment: dict[str, str],
    make_client: MakeClient,
    upstream: Upstream,
    database: psycopg.Connection,
    model: str,
    models: list[str],
) -> None:
    """Each request may come to 8192 tokens and its input: two of them fit at once, and the synthesis after them."""
    name, token = make_client()
    database.execute(
        "INSERT INTO budgets (client_id, workspace, period, unit, amount)"
        " SELECT id, '', 'day', 'tokens', 20000 FROM clients WHERE name = %s",
        (name,),
    )
    with RunningHub(hub_environment) as hub:
        async with wire(hub.ws_url, token) as connection:
            answer = envelope((await _ask(connection, models, model=model))[-1])
            again = (await connection.call("chat", {"prompt": "Hi", "model": model}, "chat"))[-1]
    errors = [response["error"]["code"] for response in answer["model_responses"] if response["status"] == "error"]
    assert errors == ["BUDGET_EXCEEDED"]
    assert sum(len(upstream.requests(each)) for each in models) == 2
    assert answer["synthesis"]["status"] == "success"
    assert again["ok"], "what was reserved and not needed is given back"
    tokens = answer["metadata"]["usage"]["input_tokens"] + answer["metadata"]["usage"]["output_tokens"]
    assert _record(database, "consensus", name)[4] == tokens


async def test_a_cancel_ends_all_its_requests(
    hub: RunningHub, token: str, upstream: Upstream, models: list[str]
) -> None:
    for each in models:
        upstream.behave(each, stall_after_chunks=1)
    async with wire(hub.ws_url, token) as connection:
        await connection.start(
            "consensus",
            {
                "step": "Shall we shard?",
                "step_number": 1,
                "total_steps": 1,
                "next_step_required": False,
                "models": [{"model": each} for each in models],
            },
            "to-cancel",
        )
        for each in models:
            upstream.wait_for_requests(each, 1)
        await connection.send({"op": "cancel", "request_id": "to-cancel"})
        result = (await connection.until("call_tool_res", "to-cancel"))[-1]
    assert result["error"]["code"] == "CANCELLED"
    for each in models:
        upstream.wait_for_disconnect(each)

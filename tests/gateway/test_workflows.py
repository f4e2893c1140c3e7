"""Workflows over the wire: their state is the conversation's, whichever process serves a step, and nobody else's."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_ids = count()


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(hub_environment) as other:
        yield other


async def _step(connection: Wire, tool: str, number: int, of: int, **given: Any) -> Frame:
    arguments = {
        "step": f"Step {number}",
        "step_number": number,
        "total_steps": of,
        "next_step_required": number < of,
        "findings": f"Found {number}",
        **given,
    }
    return (await connection.call(tool, arguments, f"step-{next(_ids)}"))[-1]


def _asked(upstream: Upstream, model: str) -> list[str]:
    """What the expert was asked, of each request."""
    return [request.body["messages"][-1]["content"] for request in upstream.requests(model)]


async def test_a_run_of_five_steps_goes_back_across_processes_and_a_restart(
    hub: RunningHub,
    hub_environment: dict[str, str],
    token: str,
    upstream: Upstream,
    model: str,
    database: psycopg.Connection,
) -> None:
    upstream.behave(model, text="The cause.")
    async with wire(hub.ws_url, token) as connection:
        first = envelope(await _step(connection, "debug", 1, 5, findings="the symptom"))
        chosen = {"continuation_id": first["continuation_id"], "model": model}
        assert first["continuation_offer"]["continuation_id"] == first["continuation_id"]
        await _step(connection, "debug", 2, 5, findings="led astray", **chosen)
    with RunningHub(hub_environment) as restarted:
        async with wire(restarted.ws_url, token) as connection:
            await _step(connection, "debug", 3, 5, findings="further astray", **chosen)
            back = envelope(
                await _step(connection, "debug", 2, 5, backtrack_from_step=2, findings="on track", **chosen)
            )
            assert back["next_call"]["arguments"]["step_number"] == 3
        restarted.kill()
    async with wire(hub.ws_url, token) as connection:
        await _step(connection, "debug", 3, 5, **chosen)
        repeated = await _step(connection, "debug", 3, 5, **chosen)
        assert repeated["error"]["code"] == "VALIDATION_ERROR"
        fourth = envelope(await _step(connection, "debug", 4, 5, **chosen))
        assert fourth["status"] == "pause_for_debug"
        assert upstream.requests(model) == []
        last = envelope(await _step(connection, "debug", 5, 5, **chosen))
    assert (last["status"], last["content"], last["debug_complete"]) == ("debug_complete", "The cause.", True)
    [asked] = _asked(upstream, model)
    assert "the symptom" in asked
    assert "on track" in asked
    assert "astray" not in asked
    # A step without a model is no turn.
    assert first["continuation_offer"]["remaining_turns"] == 20
    assert last["continuation_offer"]["remaining_turns"] == 19
    [(messages, steps)] = database.execute(
        "SELECT (SELECT count(*) FROM messages WHERE conversation_id = c.id),"
        " (SELECT count(*) FROM workflow_steps WHERE conversation_id = c.id)"
        " FROM conversations c WHERE continuation_id = %s",
        (first["continuation_id"],),
    ).fetchall()
    assert (messages, steps) == (2, 7)


async def test_a_step_that_is_repeated_resumed_or_asked_again_is_taken_once(
    hub: RunningHub,
    other_hub: RunningHub,
    token: str,
    upstream: Upstream,
    model: str,
    database: psycopg.Connection,
) -> None:
    def step(number: int, of: int, **given: Any) -> Frame:
        arguments = {"step": model, "step_number": number, "total_steps": of, "next_step_required": number < of}
        return {**arguments, "findings": "It hangs.", "model": model, **given}

    async with wire(hub.ws_url, token) as connection:
        first = (await connection.call("debug", step(1, 2), f"{model}-1"))[-1]
    chosen = {"continuation_id": envelope(first)["continuation_id"]}
    async with wire(other_hub.ws_url, token) as connection:
        repeated = (await connection.call("debug", step(1, 2), f"{model}-1"))[-1]
        assert envelope(repeated) == envelope(first)
        upstream.behave(model, text="The cause.", delay_s=0.5)
        await connection.start("debug", step(2, 2, **chosen), f"{model}-2")
        await connection.until("progress", f"{model}-2")
    async with wire(hub.ws_url, token) as connection:
        # Lost in the middle: the same step under another id goes on with the call that runs.
        again = (await connection.call("debug", step(2, 2, **chosen), f"{model}-3"))[-1]
        await connection.send({"op": "resume", "request_id": f"{model}-2", "after": -1})
        resumed = (await connection.until("call_tool_res", f"{model}-2"))[-1]
    assert envelope(again) == envelope(resumed)
    assert envelope(again)["content"] == "The cause."
    assert len(upstream.requests(model)) == 1
    kept = database.execute(
        "SELECT count(DISTINCT conversation_id), count(*) FROM workflow_steps WHERE content ->> 'text' = %s", (model,)
    ).fetchone()
    assert kept == (1, 2)


async def test_another_tool_goes_on_with_what_the_expert_said(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="The cause.")
    async with wire(hub.ws_url, token) as connection:
        last = envelope(await _step(connection, "debug", 1, 1, model=model))
        chat = {"prompt": "Are you sure?", "model": model, "continuation_id": last["continuation_id"]}
        await connection.call("chat", chat, "chat")
    messages = upstream.requests(model)[-1].body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "The cause."


async def test_runs_of_two_clients_and_of_two_conversations_never_meet(
    hub: RunningHub, other_hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    """All with equal arguments, but for a word of their own in the findings."""
    (_, one), (_, two) = make_client(), make_client()
    words = ["alder", "birch", "cedar", "douglas"]

    async def run(hub: RunningHub, token: str, word: str) -> list[Frame]:
        answers: list[Frame] = []
        async with wire(hub.ws_url, token) as connection:
            chosen = {"model": model}
            for number in range(1, 4):
                findings = {"findings": word, "files_checked": [f"{word}.py"]}
                answers.append(await _step(connection, "debug", number, 3, **findings, **chosen))
                chosen["continuation_id"] = envelope(answers[-1])["continuation_id"]
        return answers

    runs = await asyncio.gather(
        run(hub, one, words[0]), run(other_hub, one, words[1]), run(hub, two, words[2]), run(other_hub, two, words[3])
    )
    requests = _asked(upstream, model)
    assert len(requests) == len(words)
    for text in [*requests, *(str(answers) for answers in runs)]:
        assert sum(word in text for word in words) <= 1
    for word in words:
        assert sum(word in text for text in requests) == 1


async def test_a_client_cannot_go_on_with_a_run_of_another(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    async with wire(hub.ws_url, make_client()[1]) as connection:
        foreign = envelope(await _step(connection, "debug", 1, 3))["continuation_id"]
    async with wire(hub.ws_url, make_client()[1]) as connection:
        for number in (1, 2):
            refused = await _step(connection, "debug", number, 3, continuation_id=foreign)
            assert refused["error"]["code"] == "NOT_FOUND"


async def test_the_files_of_a_run_reach_the_expert_and_are_linked(
    hub: RunningHub, token: str, upstream: Upstream, model: str, database: psycopg.Connection
) -> None:
    async with wire(hub.ws_url, token) as connection:
        inline = {"name": "lock.py", "content": "def acquire():\n    pass\n"}
        first = envelope(await _step(connection, "debug", 1, 2, relevant_files=[inline]))
        assert first["debug_status"]["relevant_files"] == 1
        links = "SELECT count(*) FROM conversation_files f JOIN conversations c ON c.id = f.conversation_id"
        linked = database.execute(f"{links} WHERE continuation_id = %s", (first["continuation_id"],)).fetchone()
        assert linked == (1,)
        last = envelope(await _step(connection, "debug", 2, 2, model=model, continuation_id=first["continuation_id"]))
    [asked] = _asked(upstream, model)
    assert "def acquire():" in asked
    assert [file["name"] for file in last["metadata"]["files"]] == ["lock.py"]


async def test_a_plan_with_a_branch_and_a_revision_grows_across_processes_and_a_restart(
    hub: RunningHub, hub_environment: dict[str, str], token: str
) -> None:
    async def step(connection: Wire, number: int, text: str, **given: Any) -> Frame:
        arguments = {
            "step": text,
            "step_number": number,
            "total_steps": 5,
            "next_step_required": number < 5,
            **given,
        }
        return (await connection.call("planner", arguments, f"step-{next(_ids)}"))[-1]

    async with wire(hub.ws_url, token) as connection:
        first = envelope(await step(connection, 1, "Know the goal."))
        chosen = {"continuation_id": first["continuation_id"]}
        await step(connection, 2, "Use files.", **chosen)
    branch = {"branch_id": "redis", **chosen}
    with RunningHub(hub_environment) as restarted:
        async with wire(restarted.ws_url, token) as connection:
            await step(connection, 3, "Use Redis.", is_branch_point=True, branch_from_step=1, **branch)
        restarted.kill()
    async with wire(hub.ws_url, token) as connection:
        refused = await step(connection, 4, "Elsewhere.", **(branch | {"branch_id": "mysql"}))
        assert refused["error"]["code"] == "VALIDATION_ERROR"
        assert "redis" in refused["error"]["message"]
        await step(connection, 4, "Use one table.", is_step_revision=True, revises_step_number=2, **chosen)
        last = envelope(await step(connection, 5, "Set its limits.", **branch))
    assert last["status"] == "planner_complete"
    assert last["content"] == (
        "# Plan\n\n**Step 1**\nKnow the goal.\n\n**Step 2** (revised in step 4)\nUse one table.\n\n"
        "## Branch redis, instead of what follows step 1\n\n**Step 3**\nUse Redis.\n\n**Step 5**\nSet its limits."
    )
    # Steps without a model are no turns.
    assert last["continuation_offer"]["remaining_turns"] == first["continuation_offer"]["remaining_turns"] == 20


async def test_nobody_is_told_to_go_on_in_a_conversation_that_is_full(
    hub_environment: dict[str, str], token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='{"status": "files_required_to_continue", "files_needed": ["lock.py"]}')
    with RunningHub({**hub_environment, "MAX_CONVERSATION_TURNS": "1"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            middle = envelope(await _step(connection, "debug", 1, 2, model=model))
            last = envelope(
                await _step(connection, "debug", 2, 2, model=model, continuation_id=middle["continuation_id"])
            )
    assert middle["next_call"]["arguments"]["step_number"] == 2
    assert last["status"] == "files_required_to_continue"
    assert last["continuation_offer"] is None
    assert "next_call" not in last
    assert last["continuation_id"] == middle["continuation_id"]


async def test_a_file_that_the_expert_asks_for_is_sent_with_the_next_step(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='{"status": "files_required_to_continue", "files_needed": ["lock.py"]}')
    first, second = ({"name": f"{name}.py", "content": f"{name} = 1\n"} for name in ("pool", "lock"))
    async with wire(hub.ws_url, token) as connection:
        asked = envelope(await _step(connection, "debug", 1, 1, model=model, relevant_files=[first]))
        assert (asked["status"], asked["debug_complete"]) == ("files_required_to_continue", False)
        upstream.behave(model, text="The cause.")
        given = {**asked["next_call"]["arguments"], "next_step_required": False, "relevant_files": [second]}
        last = envelope((await connection.call("debug", {**given, "model": model}, f"step-{next(_ids)}"))[-1])
    assert last["status"] == "debug_complete"
    assert [(file["name"], file["sent"]) for file in last["metadata"]["files"]] == [
        ("pool.py", False),
        ("lock.py", True),
    ]
    roles = [message["role"] for message in upstream.requests(model)[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    question = _asked(upstream, model)[-1]
    assert "lock = 1" in question
    assert "pool = 1" not in question  # it is in the conversation already

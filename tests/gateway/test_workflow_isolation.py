"""Runs of every workflow tool that go on side by side, step by step, with equal arguments: no word, file or id of one
comes to another, neither in an answer nor in what a model is asked."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from exai.tools.table import TOOLS_BY_NAME
from exai.tools.workflow.tool import WorkflowTool
from tests.conftest import MakeClient
from tests.gateway.wire import Frame, Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

WORKFLOWS = {name: tool for name, tool in TOOLS_BY_NAME.items() if isinstance(tool, WorkflowTool)}
STEPS = 3
OWN: dict[str, dict[str, Any]] = {
    "tracer": {"trace_mode": "precision", "target_description": "Pool.acquire"},
    "docgen": {
        **dict.fromkeys(("document_complexity", "document_flow", "update_existing", "comments_on_complex_logic"), True),
        "num_files_documented": 1,
        "total_files_to_document": 1,
    },
}


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(hub_environment) as other:
        yield other


def arguments(tool: str, number: int, *, word: str, model: str, continuation_id: str) -> dict[str, Any]:
    """The first step is the same for all runs; the later ones differ by the word alone."""
    fields = WORKFLOWS[tool].input_model.model_fields
    marked = {
        "step": f"Look at {word}.",
        "findings": f"Found {word}.",
        "relevant_files": [{"name": f"{word}.py", "content": f"{word} = 1\n"}],
        "relevant_context": [f"{word}()"],
        "files_checked": [f"{word}.py"],
        "issues_found": [{"severity": "high", "description": word}],
        "hypothesis": f"It is {word}.",
        "continuation_id": continuation_id,
    }
    given = {
        "step": "Begin.",
        "findings": "Nothing yet.",
        "step_number": number,
        "total_steps": STEPS,
        "next_step_required": number < STEPS,
        "model": model,
        **OWN.get(tool, {}),
        **(marked if number > 1 else {}),
    }
    return {name: value for name, value in given.items() if name in fields}


@pytest.mark.parametrize("tool", WORKFLOWS)
async def test_nothing_of_a_run_comes_to_another(
    tool: str, hub: RunningHub, other_hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="An opinion.")
    (_, one), (_, two) = make_client(), make_client()
    # Two clients with equal session and request ids, one of them with a second conversation; each step in turn is
    # served by another process.
    runs = {"alder": (one, "first"), "birch": (two, "first"), "cedar": (one, "second")}
    ids = dict.fromkeys(runs, "")
    answers: dict[str, list[Frame]] = {word: [] for word in runs}
    async with AsyncExitStack() as opened:
        connections: dict[tuple[str, int], Wire] = {}
        for token in (one, two):
            for place, served_by in enumerate((hub, other_hub)):
                connections[token, place] = await opened.enter_async_context(wire(served_by.ws_url, token))

        async def step(word: str, number: int) -> None:
            token, name = runs[word]
            given = arguments(tool, number, word=word, model=model, continuation_id=ids[word])
            request_id = f"{tool}-{name}-{number}"
            # Of two calls at once on a connection each must read its own frames.
            place = (number + (name == "second")) % 2
            answers[word].append((await connections[token, place].call(tool, given, request_id))[-1])
            ids[word] = envelope(answers[word][-1])["continuation_id"]

        for number in range(1, STEPS + 1):
            await asyncio.gather(*(step(word, number) for word in runs))

    assert len(set(ids.values())) == len(runs)
    own: dict[str, set[str]] = {}
    for word in runs:
        last = envelope(answers[word][-1])
        assert last[f"{tool}_complete"] is True
        assert all(envelope(answer)["continuation_id"] == ids[word] for answer in answers[word])
        files = {file["id"] for file in last["metadata"].get("files", ())}
        assert len(files) == (1 if WORKFLOWS[tool].asks_expert else 0)
        own[word] = {word, ids[word], *files}
    requests = [json.dumps(request.body) for request in upstream.requests(model)]
    assert len(requests) == (len(runs) if WORKFLOWS[tool].asks_expert else 0)
    for text in requests:
        assert sum(any(mark in text for mark in marks) for marks in own.values()) == 1
    for word in runs:
        text = json.dumps(answers[word])
        foreign = set().union(*(marks for other, marks in own.items() if other != word))
        assert not [mark for mark in foreign if mark in text]


@pytest.mark.parametrize("tool", WORKFLOWS)
async def test_a_run_of_another_client_is_not_found(
    tool: str, hub: RunningHub, make_client: MakeClient, model: str
) -> None:
    (_, one), (_, two) = make_client(), make_client()
    async with wire(hub.ws_url, one) as connection:
        given = arguments(tool, 1, word="", model=model, continuation_id="")
        foreign = envelope((await connection.call(tool, given))[-1])["continuation_id"]
    async with wire(hub.ws_url, two) as connection:
        given = arguments(tool, 2, word="x", model=model, continuation_id=foreign)
        refused = (await connection.call(tool, given))[-1]
    assert refused["error"]["code"] == "NOT_FOUND"
    assert foreign not in json.dumps(refused)


async def test_nothing_of_a_panel_comes_to_another(
    hub: RunningHub,
    other_hub: RunningHub,
    make_client: MakeClient,
    upstream: Upstream,
    make_model: Callable[[], str],
) -> None:
    asked, sums_up = [make_model(), make_model()], make_model()
    for model in (*asked, sums_up):
        upstream.behave(model, text="An opinion.")
    tokens = {"alder": make_client()[1], "birch": make_client()[1]}
    ids: dict[str, str] = {}
    answers: dict[str, list[Frame]] = {word: [] for word in tokens}

    async def step(word: str, number: int) -> None:
        given = {
            "step": f"Shall we use {word}?" if number == 1 else "Sum up.",
            "findings": f"I am for {word}.",
            "step_number": number,
            "total_steps": 2,
            "next_step_required": number == 1,
        }
        if number == 1:
            given["models"] = [{"model": model} for model in asked]
            given["relevant_files"] = [{"name": f"{word}.py", "content": f"{word} = 1\n"}]
        else:
            given |= {"continuation_id": ids[word], "model": sums_up}
        served_by = (hub, other_hub)[(number + (word == "birch")) % 2]
        async with wire(served_by.ws_url, tokens[word]) as connection:
            answers[word].append((await connection.call("consensus", given, f"panel-{number}"))[-1])
        ids[word] = envelope(answers[word][-1])["continuation_id"]

    for number in (1, 2):
        await asyncio.gather(*(step(word, number) for word in tokens))

    requests = [json.dumps(request.body) for model in (*asked, sums_up) for request in upstream.requests(model)]
    assert len(requests) == len(tokens) * 3  # two opinions and one synthesis each: nobody was asked twice
    for text in requests:
        assert sum(word in text for word in tokens) == 1
    for word in tokens:
        text = json.dumps(answers[word])
        assert envelope(answers[word][-1])["consensus_complete"] is True
        assert not [mark for other in tokens if other != word for mark in (other, ids[other]) if mark in text]

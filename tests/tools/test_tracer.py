"""tracer: the agent traces, and gets back all that it found with the form to write it in; no model is asked."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from exai.tools.prompts import prompt
from tests.tools.conftest import MakeRegistry
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)))


def trace(mode: str, target: str = "Pool.acquire") -> dict[str, Any]:
    return {"trace_mode": mode, "target_description": target}


@pytest.mark.parametrize("mode", ["precision", "dependencies"])
async def test_a_trace_ends_with_its_form_and_all_that_was_found(
    conversation: Conversation, upstream: Upstream, model: str, mode: str
) -> None:
    first = await conversation("tracer", 1, of=2, findings="It calls the lock.", files_checked=["a.py"], **trace(mode))
    assert first.fields["next_call"]["arguments"] | trace(mode) == first.fields["next_call"]["arguments"]
    last = await conversation("tracer", 2, of=2, findings="Nobody else does.", relevant_context=["lock"], **trace(mode))
    assert last.status == "trace_complete"
    assert last.fields["tracer_complete"] is True
    assert last.content.startswith(prompt(f"tracer_{mode}"))
    for part in ("Pool.acquire", "- lock", "- a.py", "It calls the lock.", "Nobody else does."):
        assert part in last.content
    assert upstream.requests(model) == []


async def test_the_mode_decides_what_is_followed(conversation: Conversation) -> None:
    calls = await conversation("tracer", 1, **trace("precision"))
    structure = await conversation("tracer", 2, **trace("dependencies"))
    assert "Follow the calls" in calls.content
    assert "Follow the structure" in structure.content


async def test_with_ask_the_user_chooses_before_anything_is_traced(conversation: Conversation) -> None:
    asked = await conversation("tracer", 1, **trace("ask"))
    assert asked.content.startswith("Ask the user")
    assert asked.fields["next_call"]["arguments"]["trace_mode"] == "precision or dependencies"
    with pytest.raises(InvalidValue) as caught:
        await conversation("tracer", 2, of=2, **trace("ask"))
    assert list(caught.value.details) == ["trace_mode"]
    assert (await conversation("tracer", 2, of=2, **trace("precision"))).status == "trace_complete"


async def test_a_trace_of_nothing_is_refused(conversation: Conversation) -> None:
    with pytest.raises(InvalidValue) as caught:
        await conversation("tracer", 1, **trace("precision", " "))
    assert list(caught.value.details) == ["target_description"]


async def test_a_step_that_is_sent_again_is_refused_without_ways_that_there_are_not(conversation: Conversation) -> None:
    await conversation("tracer", 1, **trace("precision"))
    with pytest.raises(InvalidValue) as caught:
        await conversation("tracer", 1, **trace("precision"))
    assert "backtrack" not in caught.value.message
    assert "step_number 2" in caught.value.message


async def test_guidance_says_what_is_missing_and_changes_with_confidence(conversation: Conversation) -> None:
    await conversation("tracer", 1, **trace("precision"))
    unsure = await conversation("tracer", 2, confidence="low", **trace("precision"))
    sure = await conversation(
        "tracer", 3, confidence="high", files_checked=["a"], relevant_context=["b"], **trace("precision")
    )
    assert "files_checked" in unsure.content
    assert "files_checked" not in sure.content
    assert "next_step_required false" in sure.content

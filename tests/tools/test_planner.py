"""planner: a plan grows step by step, is revised in place and branches; no model is asked."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from tests.tools.conftest import MakeRegistry
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)))


def branch(id_: str, after: int) -> dict[str, Any]:
    return {"is_branch_point": True, "branch_id": id_, "branch_from_step": after}


def revision(of: int) -> dict[str, Any]:
    return {"is_step_revision": True, "revises_step_number": of}


async def refused(conversation: Conversation, number: int, **given: Any) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        await conversation("planner", number, **given)
    return caught.value


async def test_the_last_step_lays_out_the_main_line_the_branches_and_revisions_in_place(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    await conversation("planner", 1, of=8, step="Know the goal.")
    await conversation("planner", 2, of=8, step="Store it in files.")
    await conversation("planner", 3, of=8, step="Use Redis.", **branch("redis", 1))
    await conversation("planner", 4, of=8, step="Set its limits.", branch_id="redis")
    await conversation("planner", 5, of=8, step="Store it in PostgreSQL.", **revision(2))
    await conversation("planner", 6, of=8, step="Store it in one table.", **revision(5))
    middle = await conversation("planner", 7, of=8, step="Set its limits and expiry.", **revision(4))
    last = await conversation("planner", 8, of=8, step="Switch over.")
    assert last.content == (
        "# Plan\n\n"
        "**Step 1**\nKnow the goal.\n\n"
        "**Step 2** (revised in step 6)\nStore it in one table.\n\n"
        "**Step 8**\nSwitch over.\n\n"
        "## Branch redis, instead of what follows step 1\n\n"
        "**Step 3**\nUse Redis.\n\n"
        "**Step 4** (revised in step 7)\nSet its limits and expiry."
    )
    assert middle.fields["planner_status"] == {
        "steps_in_plan": 4,
        "branches": {"redis": {"from_step": 1, "steps": [3, 4]}},
        "revised_steps": {"2": 6, "4": 7},
    }
    assert (last.status, last.fields["planner_complete"], last.turn) == ("planner_complete", True, None)
    assert upstream.requests(model) == []


async def test_a_branch_may_leave_another_branch_and_a_revised_step(conversation: Conversation) -> None:
    await conversation("planner", 1)
    await conversation("planner", 2, **branch("a", 1))
    await conversation("planner", 3, **revision(2))
    answer = await conversation("planner", 4, of=6, **branch("b", 3))
    assert answer.fields["planner_status"]["branches"]["b"] == {"from_step": 2, "steps": [4]}
    # The origin may be told again as long as it is the same.
    await conversation("planner", 5, of=6, branch_id="b", branch_from_step=2)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"is_step_revision": True}, "revises_step_number"),
        ({"revises_step_number": 1}, "revises_step_number"),
        ({"is_step_revision": False, "revises_step_number": 1}, "revises_step_number"),
        (revision(3), "revises_step_number"),
        (revision(4), "revises_step_number"),
        ({"is_branch_point": True, "branch_id": "b"}, "branch_from_step"),
        ({"is_branch_point": True, "branch_from_step": 1}, "branch_id"),
        (branch("b", 3), "branch_from_step"),
        (branch(" ", 1), "branch_id"),
        (branch("a", 1), "branch_id"),
        ({"branch_id": "b"}, "branch_id"),
        ({"branch_id": "a", "branch_from_step": 2}, "branch_from_step"),
        ({"branch_from_step": 1}, "branch_from_step"),
        ({**branch("b", 1), **revision(1)}, "is_branch_point"),
        ({"more_steps_needed": True, "next_step_required": False}, "more_steps_needed"),
    ],
)
async def test_what_does_not_fit_the_plan_is_refused_and_the_plan_stays_as_it_was(
    conversation: Conversation, given: dict[str, Any], field: str
) -> None:
    await conversation("planner", 1)
    before = await conversation("planner", 2, **branch("a", 1))
    assert list((await refused(conversation, 3, **given)).details) == [field]
    assert before.fields["planner_status"]["steps_in_plan"] == 2
    after = await conversation("planner", 3)
    assert after.fields["planner_status"]["steps_in_plan"] == 3


async def test_the_first_step_can_neither_revise_nor_branch(conversation: Conversation) -> None:
    for given, field in ((revision(1), "revises_step_number"), (branch("a", 1), "branch_from_step")):
        refusal = await refused(conversation, 1, **given)
        assert "no steps yet" in refusal.message
        assert list(refusal.details) == [field]


async def test_a_step_that_is_sent_again_is_refused_with_how_to_revise_it(conversation: Conversation) -> None:
    await conversation("planner", 1)
    await conversation("planner", 2)
    refusal = await refused(conversation, 1)
    assert "revises_step_number 1" in refusal.message
    assert "backtrack" not in refusal.message


@pytest.mark.parametrize("given", [{"more_steps_needed": True}, revision(1), branch("late", 1)])
async def test_a_complete_plan_goes_on_only_when_that_is_said(
    conversation: Conversation, given: dict[str, Any]
) -> None:
    await conversation("planner", 1)
    await conversation("planner", 2, of=2)
    assert "complete" in (await refused(conversation, 3, of=4)).message
    assert (await conversation("planner", 3, of=4, **given)).status == "pause_for_planner"
    assert "Step 2" in (await conversation("planner", 4, of=4)).content


async def test_a_new_plan_in_the_same_conversation_begins_with_nothing(conversation: Conversation) -> None:
    await conversation("planner", 1, of=1, step="The first plan.")
    last = await conversation("planner", 1, of=1, step="Another plan.")
    assert last.content == "# Plan\n\n**Step 1**\nAnother plan."


async def test_guidance_differs_at_the_beginning_on_the_way_and_near_the_end(conversation: Conversation) -> None:
    first = await conversation("planner", 1)
    middle = await conversation("planner", 2)
    near = await conversation("planner", 4 - 1, of=4)
    assert len({first.content, middle.content, near.content}) == 3
    assert "next_step_required false" in near.content
    assert (await conversation("planner", 4, of=5, more_steps_needed=True)).content == middle.content

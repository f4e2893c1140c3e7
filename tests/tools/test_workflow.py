"""What all workflow tools have in common, shown by debug: steps in order, what is gathered, the expert at the end."""

from typing import Any

import pytest

from exai.protocol.errors import ContentTooLarge, HubError, InvalidValue
from exai.protocol.values import Turn
from exai.providers.base import ModelInfo
from exai.tools.prompts import prompt
from exai.tools.steps import Step
from exai.tools.workflow.run import MOST_BYTES, MOST_STEPS
from tests.tools.conftest import MakeRegistry
from tests.tools.test_chat import sent_messages
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)))


async def refused(conversation: Conversation, number: int, **given: Any) -> HubError:
    with pytest.raises(InvalidValue) as caught:
        await conversation("debug", number, **given)
    return caught.value


async def test_a_middle_step_tells_where_the_run_is_and_what_to_call_next(conversation: Conversation) -> None:
    answer = await conversation("debug", 1, of=3, confidence="low", files_checked=["a.py", "b.py"])
    assert answer.status == "pause_for_debug"
    assert answer.turn is None
    fields = answer.fields
    assert (fields["step_number"], fields["total_steps"], fields["next_step_required"]) == (1, 3, True)
    assert fields["continuation_id"] == "the-conversation"
    assert fields["message"] == answer.content
    assert fields["next_call"] == {
        "tool": "debug",
        "arguments": {
            "step": "…",
            "step_number": 2,
            "total_steps": 3,
            "next_step_required": True,
            "continuation_id": "the-conversation",
            "findings": "…",
        },
    }
    assert fields["debug_status"] == {
        "files_checked": 2,
        "relevant_files": 0,
        "relevant_context": 0,
        "issues_found": 0,
        "issues_by_severity": {},
        "images_collected": 0,
        "current_confidence": "low",
    }


async def test_what_steps_find_is_gathered_each_thing_once(conversation: Conversation) -> None:
    issue = {"severity": "High", "description": "leak"}
    await conversation("debug", 1, files_checked=["a.py"], issues_found=[issue], confidence="low")
    await conversation("debug", 2, files_checked=["a.py", "b.py"], relevant_context=["f"], confidence="high")
    answer = await conversation(
        "debug", 3, issues_found=[{"description": "leak", "severity": "High"}, {"severity": "low"}]
    )
    assert answer.fields["debug_status"] == {
        "files_checked": 2,
        "relevant_files": 0,
        "relevant_context": 1,
        "issues_found": 2,
        "issues_by_severity": {"high": 1, "low": 1},
        "images_collected": 0,
        "current_confidence": "high",
    }


async def test_an_agent_is_told_what_is_missing_and_other_words_once_it_is_sure(conversation: Conversation) -> None:
    first = await conversation("debug", 1)
    unsure = await conversation("debug", 2, confidence="low")
    sure = await conversation("debug", 3, confidence="very_high", files_checked=["a.py"], hypothesis="It leaks.")
    assert len({first.content, unsure.content, sure.content}) == 3
    assert "relevant_files" in unsure.content
    assert "hypothesis" in unsure.content
    assert "You have told no hypothesis" not in sure.content
    assert "relevant_files" in sure.content


async def test_the_expert_reads_the_task_all_steps_and_what_they_found(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="The lock is taken twice.", usage={"prompt": 9, "completion": 4})
    await conversation("debug", 1, of=2, step="It hangs.", findings="In acquire().", issues_found=[{"severity": "low"}])
    answer = await conversation(
        "debug",
        2,
        of=2,
        hypothesis="A lock.",
        confidence="high",
        files_checked=["lock.py"],
        relevant_context=["acquire"],
    )
    [(role, system), (_, asked)] = sent_messages(upstream, model)
    assert (role, system) == ("system", prompt("debug"))
    for part in ("It hangs.", "In acquire().", "Step 2", "Found 2", "A lock.", "high", "lock.py", "acquire", '"low"'):
        assert part in asked
    assert answer.status == "debug_complete"
    assert answer.content == "The lock is taken twice."
    assert answer.turn == Turn(user=asked, assistant="The lock is taken twice.")
    assert (answer.model, answer.usage.input_tokens) == (model, 9)
    assert answer.fields["debug_complete"] is True
    assert answer.fields["expert_analysis"] == {"status": "analysis_complete", "analysis": "The lock is taken twice."}
    assert answer.fields["next_steps"]
    assert answer.metadata["why"].startswith("route deep")


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"use_assistant_model": False}, "use_assistant_model"), ({"confidence": "certain"}, "certain")],
)
async def test_no_model_is_asked_where_the_agent_wants_none(
    conversation: Conversation, upstream: Upstream, model: str, given: dict[str, Any], reason: str
) -> None:
    answer = await conversation("debug", 1, of=1, **given)
    assert answer.status == "debug_complete"
    assert answer.fields["expert_analysis"]["status"] == "skipped"
    assert reason in answer.fields["expert_analysis"]["reason"]
    assert answer.turn is None
    assert upstream.requests(model) == []


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```"])
async def test_an_expert_that_needs_more_says_so_by_its_status(
    conversation: Conversation, upstream: Upstream, model: str, fence: str
) -> None:
    told = '{"status": "files_required_to_continue", "files_needed": ["lock.py"]}'
    upstream.behave(model, text=fence.replace("{}", told))
    answer = await conversation("debug", 1, of=1)
    assert answer.status == "files_required_to_continue"
    assert answer.fields["expert_analysis"]["files_needed"] == ["lock.py"]


async def test_a_status_that_the_tool_does_not_know_is_part_of_the_analysis(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='{"status": "success"}')
    answer = await conversation("debug", 1, of=1)
    assert answer.status == "debug_complete"
    assert answer.fields["expert_analysis"] == {"status": "analysis_complete", "analysis": '{"status": "success"}'}


async def test_steps_that_skip_repeat_or_begin_in_the_middle_are_refused_with_what_to_do(
    conversation: Conversation,
) -> None:
    assert "continuation_id" in (await refused(conversation, 2)).message
    await conversation("debug", 1)
    await conversation("debug", 2)
    for number, words in ((4, "next step_number is 3"), (2, "backtrack_from_step 2"), (1, "backtrack_from_step 1")):
        refusal = await refused(conversation, number)
        assert words in refusal.message
        assert refusal.details == {"step_number": "must be 3"}
    await conversation("debug", 3)


async def test_going_back_discards_that_step_and_later_ones(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    await conversation("debug", 1, findings="the symptom", files_checked=["a.py"])
    await conversation("debug", 2, findings="a wrong turn", files_checked=["b.py"])
    await conversation("debug", 3, findings="further astray", files_checked=["c.py"])
    answer = await conversation("debug", 2, findings="the right turn", backtrack_from_step=2)
    assert answer.fields["debug_status"]["files_checked"] == 1
    assert answer.fields["next_call"]["arguments"]["step_number"] == 3
    await conversation("debug", 3, of=3)
    [_, (_, asked)] = sent_messages(upstream, model)
    assert "the right turn" in asked
    assert "wrong turn" not in asked
    assert "astray" not in asked
    assert "b.py" not in asked


async def test_going_back_where_there_is_nothing_or_to_another_number_is_refused(conversation: Conversation) -> None:
    assert "no steps yet" in (await refused(conversation, 1, backtrack_from_step=1)).message
    await conversation("debug", 1)
    assert "at step 1" in (await refused(conversation, 2, backtrack_from_step=2)).message
    assert "step_number 1" in (await refused(conversation, 2, backtrack_from_step=1)).message


async def test_going_back_without_naming_the_conversation_is_refused_by_what_is_missing(
    conversation: Conversation,
) -> None:
    assert "continuation_id" in (await refused(conversation, 2, backtrack_from_step=2)).message


async def test_a_complete_run_is_followed_by_a_new_one_that_knows_nothing_of_it(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    await conversation("debug", 1, of=1, findings="of the first run", use_assistant_model=False)
    assert "complete" in (await refused(conversation, 2)).message
    await conversation("debug", 1, of=1, findings="of the second run")
    [_, (_, asked)] = sent_messages(upstream, model)
    assert "of the second run" in asked
    assert "of the first run" not in asked


async def test_a_complete_run_can_be_opened_again_by_going_back(conversation: Conversation) -> None:
    await conversation("debug", 1)
    await conversation("debug", 2, of=2, use_assistant_model=False)
    answer = await conversation("debug", 2, of=3, backtrack_from_step=2)
    assert answer.status == "pause_for_debug"


async def test_a_total_that_is_too_small_is_raised(conversation: Conversation) -> None:
    await conversation("debug", 1)
    answer = await conversation("debug", 2, total_steps=1)
    assert (answer.fields["step_number"], answer.fields["total_steps"]) == (2, 3)


async def test_findings_that_are_too_much_for_the_model_are_shortened_and_that_is_said(
    serving: MakeRegistry, upstream: Upstream, model: str
) -> None:
    conversation = Conversation(serving(ModelInfo(model, 4_000)))
    await conversation("debug", 1, findings="x" * 20_000)
    answer = await conversation("debug", 2, of=2, findings="the newest finding")
    [_, (_, asked)] = sent_messages(upstream, model)
    assert "the newest finding" in asked
    assert len(asked) < 4_000
    assert answer.metadata["left_out"] == ["findings of earlier steps beyond 2000 characters each"]


async def test_a_vendor_that_finds_the_report_too_long_is_not_asked_again_in_the_same_step(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="", finish_reason="model_context_window_exceeded")
    await conversation("debug", 1, findings="x" * 10_000)
    with pytest.raises(ContentTooLarge):
        await conversation("debug", 2, of=2)
    assert len(upstream.requests(model)) == 1


async def test_a_run_keeps_so_much_and_no_more_whether_replaced_or_not(conversation: Conversation) -> None:
    long = "x" * (MOST_BYTES // 3)
    await conversation("debug", 1, findings=long)
    await conversation("debug", 1, findings=long, backtrack_from_step=1)
    with pytest.raises(ContentTooLarge) as caught:
        await conversation("debug", 1, findings=long, backtrack_from_step=1)
    assert "continuation_id" in caught.value.message
    assert caught.value.details["limit"] == MOST_BYTES
    for number in (1, 2):
        await conversation("planner", number, step=long)
    with pytest.raises(ContentTooLarge):
        await conversation("planner", 3, step=long)


@pytest.mark.parametrize("tool", ["debug", "planner"])
async def test_a_run_that_has_all_its_steps_can_be_finished(conversation: Conversation, tool: str) -> None:
    there = [Step(number=number + 1, total=200, text="Look.") for number in range(MOST_STEPS)]
    conversation.steps[tool] = there
    with pytest.raises(InvalidValue) as caught:
        await conversation(tool, MOST_STEPS + 1, of=200)
    assert "next_step_required false" in caught.value.message
    answer = await conversation(tool, MOST_STEPS + 1, of=MOST_STEPS + 1, use_assistant_model=False)
    assert answer.status == f"{tool}_complete"


async def test_a_step_without_words_is_refused(conversation: Conversation) -> None:
    assert (await refused(conversation, 1, step="  ")).details == {"step": "must not be empty"}


async def test_a_run_whose_expert_needs_more_goes_on_with_its_next_step(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='{"status": "files_required_to_continue", "files_needed": ["lock.py"]}')
    asked = await conversation("debug", 1, of=1, findings="the symptom")
    assert asked.fields["debug_complete"] is False
    assert asked.fields["next_step_required"] is True
    assert "relevant_files" in asked.fields["next_steps"]
    assert asked.fields["next_call"]["arguments"]["step_number"] == 2
    upstream.behave(model, text="The lock is taken twice.")
    answer = await conversation("debug", 2, of=2)
    assert answer.status == "debug_complete"
    again = upstream.requests(model)[-1].body["messages"][-1]["content"]
    assert "the symptom" in again
    assert "Found 2" in again


async def test_an_expert_may_end_what_it_says_with_its_status(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    for told in ('{"status": "no_bug_found"}', '```json\n{\n  "status": "no_bug_found",\n  "why": {"a": 1}\n}\n```'):
        upstream.behave(model, text=f"It is meant so.\n\n{told}")
        answer = await conversation("debug", 1, of=1)
        assert answer.status == "no_bug_found"
        assert answer.fields["debug_complete"] is True
        assert answer.fields["expert_analysis"]["analysis"] == "It is meant so."


async def test_json_that_the_expert_shows_in_passing_is_no_status(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    for text in (
        '{"status": "no_bug_found"}\nis what it sends.',
        '{"status": ["no_bug_found"]}',
        "[1]",
        "```\n```",
        '{"status": "no_bug_found", "summary": "\\ud83d"}',  # half of a character: nobody could be sent that
        '{"status": "no_bug_found", "n": NaN}',
    ):
        upstream.behave(model, text=text)
        answer = await conversation("debug", 1, of=1)
        assert answer.status == "debug_complete"
        assert answer.fields["expert_analysis"]["analysis"] == text


async def test_what_a_later_step_leaves_out_stays_as_it_was_told(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    await conversation("codereview", 1, review_type="security", focus_on="the parser")
    await conversation("codereview", 2, of=2, focus_on="the lexer")
    [_, (_, asked)] = sent_messages(upstream, model)
    assert "review_type: security" in asked
    assert "focus_on: the lexer" in asked
    assert "the parser" not in asked


async def test_the_next_call_asks_the_expert_as_the_step_said(conversation: Conversation, model: str) -> None:
    asking: dict[str, Any] = {
        "model": model,
        "temperature": 0.2,
        "thinking_mode": "low",
        "use_websearch": False,
        "use_assistant_model": False,
    }
    answer = await conversation("debug", 1, **asking)
    assert answer.fields["next_call"]["arguments"].items() >= asking.items()


async def test_a_model_that_there_is_not_is_refused_in_the_first_step(conversation: Conversation) -> None:
    refusal = await refused(conversation, 1, model="no-such-model")
    assert "There is no model" in refusal.message


async def test_a_run_that_goes_on_takes_the_model_that_the_agent_named_first(
    serving: MakeRegistry, upstream: Upstream, model: str
) -> None:
    conversation = Conversation(serving(ModelInfo(f"{model}-other", 50_000), ModelInfo(model, 50_000)))
    first = await conversation("debug", 1, of=2, model=model)
    arguments = first.fields["next_call"]["arguments"]
    answer = await conversation("debug", 2, of=2, **arguments)
    assert answer.model == model

"""The tools that ask an expert: what each sends to the model, and what it makes of the answer."""

import json
from typing import Any

import msgspec
import pytest

from exai.protocol.errors import HubError
from exai.providers.base import ModelInfo
from exai.tools.input_schema import input_schema
from exai.tools.prompts import prompt
from exai.tools.table import TOOLS_BY_NAME
from exai.tools.workflow.requests import REQUESTS
from exai.tools.workflow.tool import WorkflowTool
from tests.tools.conftest import MakeRegistry
from tests.tools.files_in_memory import FilesInMemory
from tests.tools.running import Agent, Run
from tests.tools.test_chat import sent_messages
from tests.tools.test_contract import CONTRACT
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream

# Of each tool its own arguments, and what the expert is told of them.
OWN: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "thinkdeep": (
        {"problem_context": "Two of us, no budget.", "focus_areas": ["cost"]},
        ("problem_context: Two of us, no budget.", 'focus_areas: ["cost"]'),
    ),
    "debug": ({}, ()),
    "analyze": (
        {"analysis_type": "performance", "output_format": "summary"},
        ("analysis_type: performance", "output_format: summary"),
    ),
    "codereview": (
        {"review_type": "quick", "focus_on": "locks", "standards": "PEP 8", "severity_filter": "high"},
        ("review_type: quick", "focus_on: locks", "standards: PEP 8", "as you rate them: critical, high\n"),
    ),
    "refactor": (
        {"refactor_type": "decompose", "focus_areas": ["parser"]},
        ("refactor_type: decompose", 'focus_areas: ["parser"]'),
    ),
    "secaudit": (
        {
            "security_scope": "The upload API",
            "threat_level": "critical",
            "compliance_requirements": ["GDPR"],
            "audit_focus": "owasp",
            "severity_filter": "medium",
        },
        (
            "security_scope: The upload API",
            "threat_level: critical",
            'compliance_requirements: ["GDPR"]',
            "audit_focus: owasp",
            "as you rate them: critical, high, medium\n",
        ),
    ),
    "testgen": ({}, ()),
    "precommit": (
        {"path": "/repo", "compare_to": "main", "include_staged": False, "focus_on": "migrations"},
        ("Compared: commits since main, unstaged changes and new files", "focus_on: migrations"),
    ),
}
ASKING = {name: tool for name, tool in TOOLS_BY_NAME.items() if isinstance(tool, WorkflowTool) and tool.asks_expert}
COMPLETE = {"refactor": "refactor_analysis_complete"}
STATUSES = [(name, status) for name in OWN for status in sorted(ASKING[name].statuses)]


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)), FilesInMemory())


def test_every_tool_that_asks_an_expert_is_here() -> None:
    assert set(ASKING) == set(OWN)


@pytest.mark.parametrize("tool", OWN)
def test_the_words_of_a_tool_cost_an_agent_few_bytes_beside_its_bare_contract(tool: str) -> None:
    offered = {
        "name": tool,
        "description": ASKING[tool].description,
        "inputSchema": input_schema(ASKING[tool].input_model),
    }
    assert len(msgspec.json.encode(offered)) - len(msgspec.json.encode(CONTRACT[tool])) <= 700


@pytest.mark.parametrize("tool", OWN)
async def test_the_expert_gets_its_role_the_whole_report_and_what_was_asked_for(
    conversation: Conversation, upstream: Upstream, model: str, tool: str
) -> None:
    own, told = OWN[tool]
    upstream.behave(model, text="What I think.")
    issue = {"severity": "low", "description": "a doubt"}
    first = await conversation(tool, 1, of=3, step="The task.", findings="At first.", **own)
    await conversation(tool, 2, of=3, issues_found=[issue], confidence="medium", relevant_context=["acquire"])
    code = {"name": "lock.py", "content": "1│ def acquire(): ..."}
    last = await conversation(tool, 3, of=3, relevant_files=[code], files_checked=["b.py"])
    assert first.status == f"pause_for_{tool}"
    [(role, system), (_, asked)] = sent_messages(upstream, model)
    assert role == "system"
    assert system.startswith(prompt(tool))
    everything = ("The task.", "At first.", "Found 2", "Found 3", "a doubt", "medium", "acquire", "b.py", "def acquire")
    for part in (*everything, *told):
        assert part in asked
    complete = COMPLETE.get(tool, f"{tool}_complete")
    assert (last.status, last.fields[f"{tool}_complete"], last.content) == (complete, True, "What I think.")
    assert last.fields["expert_analysis"] == {"status": "analysis_complete", "analysis": "What I think."}


@pytest.mark.parametrize(("tool", "status"), STATUSES)
async def test_an_expert_may_ask_with_each_status_that_its_prompt_names(
    conversation: Conversation, upstream: Upstream, model: str, tool: str, status: str
) -> None:
    assert f'"status": "{status}"' in prompt(tool)
    upstream.behave(model, text=json.dumps({"status": status, "reason": "because"}))
    answer = await conversation(tool, 1, of=1)
    assert answer.status == status
    assert answer.fields["expert_analysis"]["reason"] == "because"
    assert answer.fields["next_steps"] == REQUESTS[status].advice
    assert answer.fields[f"{tool}_complete"] is not REQUESTS[status].keeps_open


@pytest.mark.parametrize("tool", OWN)
async def test_a_prompt_names_no_status_that_its_tool_does_not_know(tool: str) -> None:
    named = {word.split('"')[0] for word in prompt(tool).split('{"status": "')[1:]}
    assert named == ASKING[tool].statuses


@pytest.mark.parametrize("tool", OWN)
async def test_a_model_that_fails_is_an_error_and_the_step_can_be_sent_again(
    conversation: Conversation, upstream: Upstream, model: str, tool: str
) -> None:
    await conversation(tool, 1)
    upstream.behave(model, status=400)
    with pytest.raises(HubError):
        await conversation(tool, 2, of=2)
    upstream.behave(model)
    answer = await conversation(tool, 2, of=2)
    assert answer.fields[f"{tool}_complete"] is True


@pytest.mark.parametrize("tool", OWN)
async def test_guidance_changes_with_confidence_and_says_what_is_missing(conversation: Conversation, tool: str) -> None:
    first = await conversation(tool, 1)
    unsure = await conversation(tool, 2, confidence="low")
    sure = await conversation(tool, 3, confidence="high")
    assert len({first.content, unsure.content, sure.content}) == 3
    assert "next_step_required false" in sure.content
    for field in ASKING[tool].wants:
        assert all(field in told.content for told in (first, unsure, sure))
    assert sure.content.endswith(ASKING[tool].guidance.make_sure)
    given: dict[str, Any] = {
        "files_checked": ["a.py"],
        "relevant_context": ["f"],
        "issues_found": [{"severity": "low"}],
        "hypothesis": "So it is.",
        "relevant_files": [{"name": "a.py", "content": "x"}],
        **({"hypothesis": None} if tool == "analyze" else {}),
    }
    full = await conversation(tool, 4, **given)
    assert full.content == ASKING[tool].guidance.make_sure


async def test_pending_tests_are_asked_for_by_chat_in_the_same_conversation(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='test_a\n\n{"status": "more_tests_required", "pending_tests": ["b"]}')
    answer = await conversation("testgen", 1, of=1)
    assert answer.fields["next_call"]["tool"] == "chat"
    assert answer.fields["next_call"]["arguments"]["continuation_id"] == "the-conversation"
    assert answer.fields["expert_analysis"]["pending_tests"] == ["b"]


async def test_an_agent_is_not_told_to_call_what_it_may_not(
    serving: MakeRegistry, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text='{"status": "full_codereview_required", "reason": "because"}')
    run = Run(serving(ModelInfo(model, 50_000)), caller=Agent(tool_names=("analyze",)))
    step: dict[str, Any] = {
        "step": "Look.",
        "step_number": 1,
        "total_steps": 1,
        "next_step_required": False,
        "findings": "All.",
    }
    answer = await run("analyze", **step)
    assert answer.status == "full_codereview_required"
    assert "next_call" not in answer.fields


@pytest.mark.parametrize("status", [status for status, request in REQUESTS.items() if request.tool])
def test_what_an_agent_is_told_to_call_there_is_and_takes_that(status: str) -> None:
    request = REQUESTS[status]
    arguments = {**request.arguments, "continuation_id": "x"}
    TOOLS_BY_NAME[request.tool].input_model.model_validate_json(json.dumps(arguments))

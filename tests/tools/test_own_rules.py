"""What single tools that ask an expert do beside what all do."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from tests.tools.conftest import MakeRegistry
from tests.tools.files_in_memory import FilesInMemory
from tests.tools.test_chat import sent_messages
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)), FilesInMemory())


async def test_a_severity_filter_hides_no_reported_issue_from_the_expert(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    issue = {"severity": "low", "description": "rated too low"}
    await conversation("codereview", 1, of=1, severity_filter="critical", issues_found=[issue])
    [_, (_, asked)] = sent_messages(upstream, model)
    assert "rated too low" in asked
    assert "as you rate them: critical\n" in asked


async def test_without_a_filter_nothing_is_said_of_severities(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    await conversation("codereview", 1, of=1, severity_filter="all")
    assert "severities" not in sent_messages(upstream, model)[1][1]


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("codereview", {"review_type": "security"}, "injection"),
        ("codereview", {"standards": "PEP 8"}, "standards"),
        ("analyze", {"analysis_type": "architecture"}, "boundaries"),
        ("refactor", {"refactor_type": "modernize"}, "version"),
        ("refactor", {}, "logic said twice"),
        ("secaudit", {"audit_focus": "dependencies"}, "pinned versions"),
        ("secaudit", {"audit_focus": "compliance"}, "no compliance_requirements"),
    ],
)
async def test_what_is_asked_for_steers_the_first_step(
    conversation: Conversation, tool: str, given: dict[str, Any], words: str
) -> None:
    assert words in (await conversation(tool, 1, **given)).content
    assert words not in (await conversation(tool, 2, **given)).content or tool == "secaudit"


async def test_files_whose_style_to_follow_are_shown_to_the_expert_and_named_as_such(
    serving: MakeRegistry, upstream: Upstream, model: str
) -> None:
    files = FilesInMemory()
    style = files.add("style.py", "1│ GOOD = 1")
    conversation = Conversation(serving(ModelInfo(model, 50_000)), files)
    answer = await conversation("refactor", 1, of=1, style_guide_examples=[str(style.id)])
    [_, (_, asked)] = sent_messages(upstream, model)
    assert 'style_guide_examples: ["style.py"]' in asked
    assert "GOOD = 1" in asked
    assert answer.turn is not None
    assert answer.turn.files == (style,)


@pytest.mark.parametrize(
    ("given", "commands", "absent"),
    [
        ({}, ("git status --short", "git diff --cached", "git diff"), ("log",)),
        ({"include_staged": False}, ("git diff\n",), ("--cached",)),
        ({"include_unstaged": False}, ("git diff --cached",), ("git diff\n",)),
        (
            {"path": "/my repo", "compare_to": "v1; rm -rf /"},
            ("git -C '/my repo' log --oneline 'v1; rm -rf /..HEAD'", "git -C '/my repo' diff 'v1; rm -rf /...HEAD'"),
            (),
        ),
    ],
)
async def test_precommit_says_which_commands_show_the_changes(
    conversation: Conversation, given: dict[str, Any], commands: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    content = (await conversation("precommit", 1, **given)).content + "\n"
    for command in commands:
        assert f"    {command}" in content
    for word in absent:
        assert word not in content
    assert "git" not in (await conversation("precommit", 2)).content


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"include_staged": False, "include_unstaged": False}, "include_staged"),
        ({"compare_to": "--output=/etc/passwd"}, "compare_to"),
    ],
)
async def test_precommit_refuses_what_compares_nothing(
    conversation: Conversation, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        await conversation("precommit", 1, **given)
    assert list(caught.value.details) == [field]

"""precommit: checking changes before they are committed.

The repository is the agent's: the hub cannot read it. It says which commands show the changes, and the agent reports
what they print.
"""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.tools.steps import Step
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput, SeverityInput
from exai.tools.workflow.run import Run
from exai.tools.workflow.severity import asked_severities
from exai.tools.workflow.tool import WorkflowTool


class PrecommitInput(SeverityInput, HypothesisInput, InvestigationInput):
    path: str | None = Field(None, description="Your repository; you run git in it")
    compare_to: str | None = Field(None, description="Ref: adds the commits since")
    include_staged: bool | None = True
    include_unstaged: bool | None = True
    focus_on: str | None = None


class Precommit(WorkflowTool[PrecommitInput]):
    name = "precommit"
    description = (
        "Check changes before a commit or pull request: run git, report diff and risks in steps; at the end an expert "
        "model judges whether they may go in. For code at large use codereview."
    )
    input_model = PrecommitInput
    wants = ("relevant_files", "issues_found")
    statuses = frozenset({"files_required_to_continue"})
    guidance = Guidance(
        begin=(
            "Read every changed line, and say in findings what the change is meant to do. Put the diff into "
            "relevant_files as {name, content}, with the files that one must know to judge it."
        ),
        go_on=(
            "Look at what the diff does not show: callers of what changed, tests, migrations, documentation, "
            "configuration. Run the tests and linters, and report their output. Look for leftovers: debug output, "
            "secrets, commented-out code, files that do not belong."
        ),
        make_sure=(
            "Check that the change does what was asked, all of it and nothing else, and how it is undone. Then finish "
            "with next_step_required false."
        ),
    )
    next_steps = (
        "Fix what blocks the commit, run the tests again, and look at the diff once more. Commit only if the user "
        "asked for it."
    )

    def check(self, step: Step, run: Run) -> None:
        told = run.with_step(step).told
        if str(told.get("compare_to", "")).startswith("-"):
            raise InvalidValue("compare_to names a branch, tag or commit.", compare_to="begins with a dash")
        if not _parts(told):
            raise InvalidValue(
                "There is nothing to check: include staged or unstaged changes, or name compare_to.",
                include_staged="both are false, and compare_to is not given",
            )

    def about(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        others = {
            name: value
            for name, value in told.items()
            if name not in ("path", "compare_to", "include_staged", "include_unstaged")
        }
        return {"Compared": ", ".join(_parts(told)), **asked_severities(others)}

    def message(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        message = super().message(run, gathered, told)
        if run.last_number > 1:
            return message
        return "\n".join((message, "", "Run these first, and report what they print:", *_commands(told)))


def _parts(told: Mapping[str, Any]) -> list[str]:
    """What is looked at, in words."""
    parts = []
    if told.get("compare_to"):
        parts.append(f"commits since {told['compare_to']}")
    if told.get("include_staged", True):
        parts.append("staged changes")
    if told.get("include_unstaged", True):
        parts.append("unstaged changes and new files")
    return parts


def _commands(told: Mapping[str, Any]) -> Iterable[str]:
    git = f"git -C {shlex.quote(told['path'])}" if told.get("path") else "git"
    yield f"    {git} status --short"
    if told.get("compare_to"):
        base = told["compare_to"]
        yield f"    {git} log --oneline {shlex.quote(f'{base}..HEAD')}"
        yield f"    {git} diff {shlex.quote(f'{base}...HEAD')}"
    if told.get("include_staged", True):
        yield f"    {git} diff --cached"
    if told.get("include_unstaged", True):
        yield f"    {git} diff"

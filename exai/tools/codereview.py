"""codereview: finding faults in code."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput, SeverityInput
from exai.tools.workflow.run import Run
from exai.tools.workflow.severity import asked_severities
from exai.tools.workflow.tool import WorkflowTool

_LOOK_FOR = {
    "security": "Look for input that is trusted, missing checks of rights, secrets, injection, unsafe defaults.",
    "performance": "Look for work in loops, queries per row, blocking calls, what grows without bound.",
    "quick": "Look at the riskiest part only: what is new, concurrent, or handles money, rights or data.",
}


class CodeReviewInput(SeverityInput, HypothesisInput, InvestigationInput):
    review_type: Literal["full", "security", "performance", "quick"] | None = "full"
    focus_on: str | None = None
    standards: str | None = Field(None, description="Rules to hold it to")


class CodeReview(WorkflowTool[CodeReviewInput]):
    name = "codereview"
    description = (
        "Review code for bugs, risks and bad design: read and report issues in steps; at the end an expert model "
        "reviews code and report. For uncommitted changes use precommit."
    )
    input_model = CodeReviewInput
    wants = ("files_checked", "relevant_files", "issues_found")
    statuses = frozenset({"files_required_to_continue", "focused_review_required"})
    guidance = Guidance(
        begin=(
            "Find out what the code is to do, and for whom. Read it whole, with its callers and tests. Note each issue "
            "in issues_found with its severity, file and line, and what goes wrong for whom."
        ),
        go_on=(
            "Try to prove each issue: the input or the order of events that triggers it. Drop what you cannot trigger. "
            "Then look for what is missing: errors, limits, concurrency, tests of the risky paths."
        ),
        make_sure=(
            "Read once more what you thought harmless. Check that severities follow the damage, not the taste, and "
            "that every issue has a fix. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Check each issue in the code, and leave out what you cannot confirm. Report the rest by severity, with file, "
        "line and fix, and fix critical and high ones first."
    )

    def about(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        return asked_severities(told)

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        if run.last_number == 1 and (look_for := _LOOK_FOR.get(told.get("review_type", ""))):
            yield look_for
        if run.last_number == 1 and "standards" in told:
            yield "Hold the code to the standards that you named, and name the rule that an issue breaks."

"""refactor: finding what to restructure in code, and in which order."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput, Words
from exai.tools.workflow.run import Run
from exai.tools.workflow.tool import WorkflowTool

_LOOK_FOR = {
    "codesmells": "Look for logic said twice, long functions, wide classes, hidden state, names that mislead.",
    "decompose": "Look for the seams: what changes together, what is used alone, which parts know too much.",
    "modernize": "Look for what the language or its library does better today, at the version that the project uses.",
    "organization": "Look at which module holds what, cycles, and what one must open to make a typical change.",
}


class RefactorInput(HypothesisInput, InvestigationInput):
    refactor_type: Literal["codesmells", "decompose", "modernize", "organization"] | None = "codesmells"
    focus_areas: Words | None = None
    style_guide_examples: Words | None = Field(None, description="Ids of uploaded files whose style to follow")


class Refactor(WorkflowTool[RefactorInput]):
    name = "refactor"
    description = (
        "Plan how to restructure code without changing what it does: find opportunities in steps; at the end an expert "
        "model orders them, with code. For faults use codereview."
    )
    input_model = RefactorInput
    wants = ("relevant_files", "relevant_context", "issues_found")
    statuses = frozenset({"files_required_to_continue", "code_too_large"})
    file_fields = ("relevant_files", "images", "style_guide_examples")
    complete_status = "refactor_analysis_complete"
    guidance = Guidance(
        begin=(
            "Learn what the code does, who calls it, and which tests hold it. Report each opportunity in issues_found, "
            "with its place and what it costs today: a bug it caused, a change it made hard."
        ),
        go_on=(
            "Weigh each opportunity: what it buys, what it may break, which callers it touches. Drop matters of taste. "
            "Find which must come first, and where tests are missing for the change to be safe."
        ),
        make_sure=(
            "Check that each change keeps behaviour, public names included, and can be committed alone. Then finish "
            "with next_step_required false."
        ),
    )
    next_steps = (
        "Go in order, one change a commit, tests green before and after each; write the missing test first. Leave out "
        "what does not pay."
    )

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        if run.last_number == 1:
            yield _LOOK_FOR[told.get("refactor_type", "codesmells")]

"""analyze: understanding code, and judging how it is built."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import InvestigationInput
from exai.tools.workflow.run import Run
from exai.tools.workflow.tool import WorkflowTool

_LOOK_AT = {
    "architecture": "Look at boundaries, the direction of dependencies, where state lives, and what a change costs.",
    "performance": "Look at the hot paths: work per request, queries, copies, waiting, and what grows with the data.",
    "security": "Look at where input enters, what is trusted, who may do what, and where secrets go.",
    "quality": "Look at what is hard to read, to test or to change, and at what is said twice.",
}


class AnalyzeInput(InvestigationInput):
    analysis_type: Literal["architecture", "performance", "security", "quality", "general"] | None = "general"
    output_format: Literal["summary", "detailed", "actionable"] | None = "detailed"


class Analyze(WorkflowTool[AnalyzeInput]):
    name = "analyze"
    description = (
        "Understand how code is built and whether it will carry what is planned: explore and report in steps; at the "
        "end an expert model judges. To find faults in code use codereview."
    )
    input_model = AnalyzeInput
    wants = ("files_checked", "relevant_files")
    statuses = frozenset({"files_required_to_continue", "full_codereview_required"})
    guidance = Guidance(
        begin=(
            "Map it first: entry points, main parts, what each knows of the others, where data comes from and goes. "
            "Read code, not only names and documents."
        ),
        go_on=(
            "Follow one real request or job through all parts. Note where the code does something else than its "
            "structure suggests, which decisions everything hangs on, and what they cost."
        ),
        make_sure=(
            "Check each conclusion against a second place in the code. Part what is a fact from what you suppose, and "
            "strengths from risks. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Tell the user what the code is built on, the strengths and the risks that matter for what is planned, each "
        "with its place, and what to do first."
    )

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        if run.last_number == 1 and (look_at := _LOOK_AT.get(told.get("analysis_type", ""))):
            yield look_at

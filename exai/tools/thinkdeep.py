"""thinkdeep: thinking a hard question through, step by step."""

from pydantic import Field

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput, Words
from exai.tools.workflow.tool import WorkflowTool


class ThinkDeepInput(HypothesisInput, InvestigationInput):
    problem_context: str | None = Field(None, description="Goals, limits")
    focus_areas: Words | None = None


class ThinkDeep(WorkflowTool[ThinkDeepInput]):
    name = "thinkdeep"
    description = (
        "Think a hard decision or design through in steps (options, evidence, objections); at the end an expert model "
        "challenges your conclusion. For one question and answer use chat."
    )
    input_model = ThinkDeepInput
    wants = ("hypothesis",)
    statuses = frozenset({"files_required_to_continue"})
    guidance = Guidance(
        begin=(
            "Say what is to be decided, by which measure, and what is given. List at least three options that truly "
            "differ, and for each what would have to be true for it to be the best. Look up the facts that decide "
            "between them."
        ),
        go_on=(
            "Try to break the option that leads: the worst realistic case, the assumption that you have not checked, "
            "the cost in a year. Report what you checked and where, and put your present answer into hypothesis."
        ),
        make_sure=(
            "State the strongest objection as its advocate would, and answer it or change your mind. Say what would "
            "make you decide otherwise. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Weigh each objection on its evidence: take it up, or say why not. Then decide, and tell the user the "
        "decision, what it rests on, and what would overturn it."
    )

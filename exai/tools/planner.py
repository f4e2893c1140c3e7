"""planner: a plan made step by step, with revisions and branches. No model is asked."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.tools.plan import Plan
from exai.tools.steps import Step
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import Number, UnaskedModelInput
from exai.tools.workflow.run import Run
from exai.tools.workflow.tool import WorkflowTool

_SHOWN = 80  # characters of a branch's id in an error


class PlannerInput(UnaskedModelInput):
    is_step_revision: bool | None = None
    revises_step_number: Number | None = None
    is_branch_point: bool | None = Field(None, description="First step of an alternative, named by branch_id")
    branch_from_step: Number | None = Field(None, description="Step that the alternative follows")
    branch_id: str | None = Field(None, description="In every step of the branch")
    more_steps_needed: bool | None = Field(None, description="Goes on with a complete plan")


class Planner(WorkflowTool[PlannerInput]):
    name = "planner"
    description = (
        "Make a plan one step a call, with revisions and alternative branches; laid out whole at the end. You do the "
        "thinking: no model is asked."
    )
    input_model = PlannerInput
    asks_expert = False
    wants = ()
    other_way = "revise step {number} by is_step_revision and revises_step_number {number}"
    guidance = Guidance(
        begin=(
            "Before concrete steps: what must be true at the end, how is that checked, what is given, what is out of "
            "scope, what could make the whole plan wrong? Then plan the step that settles the greatest doubt first."
        ),
        go_on=(
            "Say for this step what it delivers, what it needs from earlier ones, and how one sees that it is done. "
            "Where an earlier step was wrong, revise it (is_step_revision, revises_step_number); where two ways are "
            "open, plan the other one as a branch (is_branch_point, branch_from_step, branch_id)."
        ),
        make_sure=(
            "The end is near: check the order, what can run side by side, what is undone how, and which step is still "
            "vague. Choose among branches and say why. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Show the user the plan: goal, steps with what each delivers and how it is checked, the branch chosen and why. "
        "Add a step later with this continuation_id and more_steps_needed, is_step_revision or is_branch_point."
    )

    def reopens(self, arguments: PlannerInput) -> bool:
        return bool(arguments.more_steps_needed or arguments.is_step_revision or arguments.is_branch_point)

    def check(self, step: Step, run: Run) -> None:
        told = step.details
        if step.number == 1:
            run = Run(run.tool)
        plan = Plan(run.steps)
        if told.get("more_steps_needed") and step.is_last:
            raise InvalidValue(
                "more_steps_needed and next_step_required contradict each other: one says that steps follow, the other "
                "that none does.",
                more_steps_needed="true in the last step",
            )
        _check_revision(told, run)
        _check_branch(told, run, plan)

    def message(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        if run.last_number == 1:
            return self.guidance.begin
        step = run.steps[-1]
        near_the_end = step.number >= step.total - 1 and not step.details.get("more_steps_needed")
        return self.guidance.make_sure if near_the_end else self.guidance.go_on

    def progress(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> dict[str, Any]:
        return Plan(run.steps).progress()

    def conclusion(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        return Plan(run.steps).markdown()


def _check_revision(told: Mapping[str, Any], run: Run) -> None:
    number = told.get("revises_step_number")
    if not told.get("is_step_revision"):
        if number is not None:
            raise InvalidValue(
                "revises_step_number goes with is_step_revision true.", revises_step_number="without is_step_revision"
            )
        return
    if told.get("is_branch_point"):
        raise InvalidValue(
            "A step either revises an earlier one or begins a branch: send two steps.",
            is_branch_point="together with is_step_revision",
        )
    if number is None:
        raise InvalidValue("Say which step is revised: revises_step_number.", revises_step_number="missing")
    _check_there(number, run, "revises_step_number")


def _check_branch(told: Mapping[str, Any], run: Run, plan: Plan) -> None:
    id_, origin = told.get("branch_id"), told.get("branch_from_step")
    shown = (id_ or "")[:_SHOWN]
    if id_ is not None and not id_.strip():
        raise InvalidValue("branch_id is empty: name the branch.", branch_id="must not be empty")
    if told.get("is_branch_point"):
        if id_ is None or origin is None:
            missing = "branch_id" if id_ is None else "branch_from_step"
            raise InvalidValue(
                f"A branch point says from which step the branch leaves and what it is called: {missing} is missing.",
                **{missing: "missing"},
            )
        _check_there(origin, run, "branch_from_step")
        if id_ in plan.origins:
            raise InvalidValue(
                f"There is a branch {shown} already: leave is_branch_point out to go on with it, or name another.",
                branch_id="taken",
            )
        return
    if id_ is None:
        if origin is not None:
            raise InvalidValue(
                "branch_from_step goes with is_branch_point true and a branch_id.",
                branch_from_step="without is_branch_point",
            )
        return
    if id_ not in plan.origins:
        there = (
            f"there are {', '.join(known[:_SHOWN] for known in plan.origins)}" if plan.origins else "there are none yet"
        )
        raise InvalidValue(
            f"There is no branch {shown}; {there}. Begin one with is_branch_point and branch_from_step.",
            branch_id="unknown",
        )
    if origin is not None and plan.place_of(origin) != plan.origins[id_]:
        raise InvalidValue(
            f"Branch {shown} leaves from step {plan.origins[id_]}.",
            branch_from_step="another than that of the branch",
        )


def _check_there(number: int, run: Run, field: str) -> None:
    if number > run.last_number:
        there = f"the plan has steps 1 to {run.last_number}" if run.steps else "the plan has no steps yet"
        raise InvalidValue(f"There is no step {number}: {there}.", **{field: "no such step"})

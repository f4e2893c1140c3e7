"""A plan as its steps make it: a main line, branches that leave it, steps revised in their place."""

from collections.abc import Iterable, Iterator
from typing import Any

from exai.tools.steps import Step

MAIN_LINE = ""


class Plan:
    """`step_numbers`: those of the plan itself, by their line (`MAIN_LINE` or a branch's id), in order. `origins`: of
    each branch the step that it leaves from. `revisions`: step -> the newest step that revises it."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.step_numbers: dict[str, list[int]] = {MAIN_LINE: []}
        self.origins: dict[str, int] = {}
        self.revisions: dict[int, int] = {}
        self._texts: dict[int, str] = {}
        self._stands_for: dict[int, int] = {}  # a revision -> the step whose place it takes
        for step in steps:
            self._add(step)

    def place_of(self, number: int) -> int:
        """The step of the plan that a step is, or revises."""
        return self._stands_for.get(number, number)

    def progress(self) -> dict[str, Any]:
        return {
            "steps_in_plan": sum(len(numbers) for numbers in self.step_numbers.values()),
            "branches": {
                id_: {"from_step": self.origins[id_], "steps": self.step_numbers[id_]} for id_ in self.origins
            },
            "revised_steps": {str(number): by for number, by in self.revisions.items()},
        }

    def markdown(self) -> str:
        """All of it: the main line first, then each branch."""
        parts = ["# Plan", *self._line(MAIN_LINE)]
        for id_, origin in self.origins.items():
            parts += (f"## Branch {id_}, instead of what follows step {origin}", *self._line(id_))
        return "\n\n".join(parts)

    def _add(self, step: Step) -> None:
        told = step.details
        self._texts[step.number] = step.text
        if told.get("is_step_revision"):
            place = self.place_of(told["revises_step_number"])
            self._stands_for[step.number] = place
            self.revisions[place] = step.number
            return
        line = told.get("branch_id", MAIN_LINE)
        if told.get("is_branch_point"):
            self.origins[line] = self.place_of(told["branch_from_step"])
            self.step_numbers[line] = []
        self.step_numbers[line].append(step.number)

    def _line(self, line: str) -> Iterator[str]:
        for number in self.step_numbers[line]:
            revised_by = self.revisions.get(number)
            note = f" (revised in step {revised_by})" if revised_by else ""
            yield f"**Step {number}**{note}\n{self._texts[revised_by or number]}"

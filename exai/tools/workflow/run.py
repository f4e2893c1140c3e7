"""Which of the steps that a conversation keeps are in force, and which one may come next.

Steps are only ever added. One that goes back, or begins anew, says so; what is in force follows from all of them.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from exai.protocol.errors import ContentTooLarge, InvalidValue
from exai.tools.steps import Step

MOST_STEPS = 100  # of one run, beside one that ends it: each costs the later ones a little
MOST_BYTES = 16 * 1024 * 1024  # of all that a conversation keeps of a tool, for every step reads all of it
_BYTES_BESIDE = 1024  # that a step counts for beside its content


class Run(msgspec.Struct, frozen=True):
    """The steps in force of the run that a conversation is at, in order; none before its first."""

    tool: str
    steps: tuple[Step, ...] = ()

    @property
    def is_over(self) -> bool:
        return bool(self.steps) and self.steps[-1].is_last

    @property
    def last_number(self) -> int:
        return self.steps[-1].number if self.steps else 0

    @property
    def told(self) -> dict[str, Any]:
        """What the tool's own arguments say, the newest of each."""
        told: dict[str, Any] = {}
        for step in self.steps:
            told |= step.details
        return told

    def before(self, number: int) -> "Run":
        """Without the step of that number and later ones."""
        return Run(self.tool, tuple(step for step in self.steps if step.number < number))

    def with_step(self, step: Step) -> "Run":
        kept = self.before(step.number) if step.goes_back or step.number == 1 else self
        return Run(self.tool, (*kept.steps, step))


def run_of(tool: str, kept: Iterable[Step]) -> Run:
    """What all steps that a conversation keeps of a tool come to."""
    run = Run(tool)
    for step in kept:
        run = run.with_step(step)
    return run


def check_size(kept: Iterable[Step], step: Step) -> None:
    """That a step goes beside all that is kept of its tool, replaced ones included. Raises `ContentTooLarge`."""
    size = sum(len(msgspec.json.encode(each)) + _BYTES_BESIDE for each in (*kept, step))
    if size > MOST_BYTES:
        raise ContentTooLarge(
            f"With this step the conversation would keep {size} bytes of this tool's steps; {MOST_BYTES} are the most. "
            "Say it shorter and name files by their ids, or begin a new conversation, without continuation_id, with "
            "what matters of this one.",
            actual_size=size,
            limit=MOST_BYTES,
        )


def check_count(number: int, *, is_last: bool) -> None:
    """That a run does not grow too long; it can be finished all the same. Raises `InvalidValue`."""
    if number > MOST_STEPS and not is_last:
        raise _wrong(
            f"A run has at most {MOST_STEPS} steps and one that ends it: finish it with next_step_required false.",
            f"beyond {MOST_STEPS} only with next_step_required false",
        )


def check_order(
    run: Run, *, number: int, backtrack: int | None, continues: bool, reopens: bool = False, other_way: str = ""
) -> None:
    """That a step may come now. `continues`: it names a conversation. `reopens`: it may follow the last one. Raises
    `InvalidValue` that says which step may come, and the `other_way` to replace one, with its `{number}`."""
    if backtrack is not None:
        _check_backtrack(run, number=number, backtrack=backtrack, continues=continues)
    elif run.steps and (reopens or not run.is_over):
        _check_next(run, number, other_way)
    elif number != 1:
        if not continues:
            raise _wrong(
                f"Step {number} of {run.tool} belongs to a conversation: pass the continuation_id that step 1 was "
                "answered with, or begin with step_number 1.",
                "only step 1 goes without continuation_id",
            )
        over = f"This run of {run.tool} is complete" if run.is_over else f"This conversation has no run of {run.tool}"
        raise _wrong(f"{over}: begin with step_number 1.", "must be 1")


def _check_next(run: Run, number: int, other_way: str) -> None:
    last = run.last_number
    if number == last + 1:
        return
    if number <= last:
        or_else = f", or {other_way.format(number=number)}" if other_way else ""
        raise _wrong(
            f"{run.tool} has step {number} already; it is at step {last}. Go on with step_number {last + 1}{or_else}.",
            f"must be {last + 1}",
        )
    raise _wrong(f"{run.tool} is at step {last}: the next step_number is {last + 1}.", f"must be {last + 1}")


def _check_backtrack(run: Run, *, number: int, backtrack: int, continues: bool) -> None:
    if backtrack > run.last_number:
        there = f"it is at step {run.last_number}" if run.steps else "it has no steps yet"
        hint = "" if continues else " Pass the continuation_id that step 1 was answered with."
        raise InvalidValue(
            f"{run.tool} cannot go back to step {backtrack}: {there}.{hint}", backtrack_from_step="no such step"
        )
    if number != backtrack:
        raise _wrong(
            f"With backtrack_from_step {backtrack} this step takes the place of step {backtrack}: give step_number "
            f"{backtrack}.",
            f"must be {backtrack}",
        )


def _wrong(message: str, reason: str) -> InvalidValue:
    return InvalidValue(message, step_number=reason)

"""tracer: how code is called, or what hangs on what, traced by the agent. No model is asked."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.tools.prompts import prompt
from exai.tools.steps import Step
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import (
    CheckedInput,
    ConfidenceInput,
    ImagesInput,
    UnaskedFindingsInput,
    UnaskedModelInput,
)
from exai.tools.workflow.run import Run
from exai.tools.workflow.tool import WorkflowTool

_HOW = {
    "precision": (
        "Follow the calls: from the target down to where something happens, and up to who calls it. Note each call "
        "with file and line, its condition, and what it changes, sends or raises."
    ),
    "dependencies": (
        "Follow the structure: what the target imports, inherits, holds and creates, and what uses it in turn. Note "
        "each with file and line, its kind, and cycles."
    ),
}
_ASK = (
    "Ask the user which trace is wanted: precision (the flow of calls, for a function or method) or dependencies (what "
    "uses what, for a class or module). Then go on with that trace_mode."
)


class TracerInput(ImagesInput, ConfidenceInput, CheckedInput, UnaskedFindingsInput, UnaskedModelInput):
    trace_mode: Literal["precision", "dependencies", "ask"] = Field(
        description="precision: calls of a function; dependencies: of a class or module; ask: the user chooses"
    )
    target_description: str = Field(description="What to trace, and why")


class Tracer(WorkflowTool[TracerInput]):
    name = "tracer"
    description = (
        "Trace how a function is called or what a module hangs on: read code and report in steps; at the end all "
        "findings come back with the form to write them down in. No model is asked."
    )
    input_model = TracerInput
    asks_expert = False
    wants = ("files_checked", "relevant_context")
    other_way = ""
    complete_status = "trace_complete"
    guidance = Guidance(
        begin="Find the target's definition, and make sure that it is the one that is meant.",
        go_on=(
            "Open each place that you name: do not go by names. Look for calls that a search does not show: dynamic "
            "dispatch, decorators, callbacks, configuration, tests."
        ),
        make_sure=(
            "Close the gaps: each branch ends in an effect, an error or another system, or is marked unknown. Then "
            "finish with next_step_required false."
        ),
    )
    next_steps = "Write the trace in the form given, from the findings alone; mark what you have not seen as unknown."

    def check(self, step: Step, run: Run) -> None:
        if not step.details["target_description"].strip():
            raise InvalidValue("Say what is traced.", target_description="must not be empty")
        if step.is_last and step.details["trace_mode"] == "ask":
            raise InvalidValue(
                "Nothing is traced while trace_mode is ask: finish with precision or dependencies.",
                trace_mode="ask in the last step",
            )

    def message(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        return _ASK if told["trace_mode"] == "ask" else super().message(run, gathered, told)

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        yield _HOW[told["trace_mode"]]

    def needed_again(self, told: Mapping[str, Any]) -> dict[str, Any]:
        needed = super().needed_again(told)
        return {**needed, "trace_mode": "precision or dependencies"} if told["trace_mode"] == "ask" else needed

    def conclusion(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        parts = [prompt(f"tracer_{told['trace_mode']}"), f"# Target\n{told['target_description']}"]
        for title, names in (("Code that matters", gathered.relevant_context), ("Files read", gathered.files_checked)):
            if names:
                parts.append(f"# {title}\n" + "\n".join(f"- {name}" for name in names))
        parts.append("# Findings\n" + "\n\n".join(f"## Step {step.number}\n{step.findings}" for step in run.steps))
        return "\n\n".join(parts)

"""A workflow tool: takes a step, keeps it, and tells what comes next; at the end it asks the expert."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from exai.protocol.errors import InvalidValue
from exai.protocol.values import FileMention, Turn
from exai.tools.base import Tool, ToolAnswer
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt
from exai.tools.steps import Step
from exai.tools.workflow.expert import Opinion, Report, ask_expert
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import InvestigationInput, StepInput
from exai.tools.workflow.run import Run, check_order, run_of

Input = TypeVar("Input", bound=StepInput)

# Of a step's arguments, those that every tool knows; all others are the tool's own.
_GENERAL = frozenset(InvestigationInput.model_fields) | {"hypothesis"}


class WorkflowTool(Tool[Input]):
    """`wants`: what the expert cannot do without. `statuses`: with which the expert may ask for more instead."""

    keeps_conversation = True
    keeps_steps = True
    asks_expert: ClassVar[bool] = True
    guidance: ClassVar[Guidance]
    wants: ClassVar[tuple[str, ...]] = ("relevant_files",)
    statuses: ClassVar[frozenset[str]] = frozenset()
    next_steps: ClassVar[str]

    async def run(self, arguments: Input, context: ToolContext) -> ToolAnswer:
        _check_words(arguments)
        run = run_of(self.name, context.steps)
        backtrack = getattr(arguments, "backtrack_from_step", None)
        check_order(run, number=arguments.step_number, backtrack=backtrack, continues=context.continues)
        taken = await context.files.take(
            {field: getattr(arguments, field, None) or () for field in ("relevant_files", "images")}
        )
        step = self._step(arguments, taken, goes_back=backtrack is not None)
        self.check(step, run)
        run = run.with_step(step)
        if not step.is_last:
            return self._go_on(run, step, context)
        return await self._finish(run, step, arguments, context)

    def check(self, step: Step, run: Run) -> None:
        """What the tool itself asks of a step, before it is kept. Raises `InvalidValue`."""

    def conclusion(self, run: Run, gathered: Gathered) -> str:
        """The answer of a last step without an expert, for the agent."""
        return self.next_steps

    def _step(self, arguments: Input, taken: Mapping[str, tuple[FileMention, ...]], *, goes_back: bool) -> Step:
        given = arguments.model_dump(exclude_none=True)
        number, is_last = arguments.step_number, not arguments.next_step_required
        return Step(
            number=number,
            total=number if is_last else max(arguments.total_steps, number + 1),
            text=arguments.step.strip(),
            is_last=is_last,
            findings=given.get("findings", "").strip(),
            files_checked=tuple(given.get("files_checked", ())),
            relevant_files=taken["relevant_files"],
            images=taken["images"],
            relevant_context=tuple(given.get("relevant_context", ())),
            issues_found=tuple(given.get("issues_found", ())),
            confidence=given.get("confidence", ""),
            hypothesis=given.get("hypothesis", ""),
            goes_back=goes_back,
            details={name: value for name, value in given.items() if name not in _GENERAL},
        )

    def _go_on(self, run: Run, step: Step, context: ToolContext) -> ToolAnswer:
        gathered = Gathered.of(run)
        message = self.guidance.text(run, gathered, wants=self.wants)
        return ToolAnswer(
            content=message,
            status=f"pause_for_{self.name}",
            step=step,
            fields={
                **self._place(run, step, context),
                "next_call": {"tool": self.name, "arguments": self._next_arguments(step, context)},
                "message": message,
                f"{self.name}_status": gathered.counts(),
            },
        )

    async def _finish(self, run: Run, step: Step, arguments: Input, context: ToolContext) -> ToolAnswer:
        gathered = Gathered.of(run)
        fields = {
            **self._place(run, step, context),
            f"{self.name}_complete": True,
            "next_steps": self.next_steps,
            f"{self.name}_status": gathered.counts(),
        }
        why_not = self._why_no_expert(arguments, gathered)
        if why_not:
            conclusion = self.conclusion(run, gathered)
            return ToolAnswer(
                content=conclusion,
                content_type="markdown",
                status=f"{self.name}_complete",
                step=step,
                fields={**fields, "expert_analysis": {"status": "skipped", "reason": why_not}},
            )
        opinion = await ask_expert(
            context,
            system=prompt(self.name),
            report=Report(run, gathered, self._about(run)),
            arguments=arguments,
            statuses=self.statuses,
        )
        return self._with_opinion(opinion, step, fields)

    def _with_opinion(self, opinion: Opinion, step: Step, fields: dict[str, Any]) -> ToolAnswer:
        answer = opinion.answer
        metadata: dict[str, Any] = {"finish_reason": answer.finish_reason, **answer.choice}
        for name, value in (
            ("files", [msgspec.to_builtins(file) for file in answer.files]),
            ("left_out", list(opinion.left_out)),
            ("turns_left_out", answer.turns_left_out),
            ("reasoning", answer.reasoning),
            ("sources", [msgspec.to_builtins(source) for source in answer.sources]),
        ):
            if value:
                metadata[name] = value
        return ToolAnswer(
            content=answer.text,
            content_type="markdown",
            status=opinion.status or f"{self.name}_complete",
            step=step,
            turn=Turn(user=opinion.asked, assistant=answer.text, files=answer.mentions),
            model=answer.model,
            provider=answer.provider,
            usage=answer.usage,
            reasoning=answer.reasoning,
            metadata=metadata,
            fields={**fields, "expert_analysis": opinion.analysis},
        )

    def _why_no_expert(self, arguments: Input, gathered: Gathered) -> str:
        if not self.asks_expert:
            return "This tool asks no model."
        if arguments.use_assistant_model is False:
            return "use_assistant_model is false."
        if getattr(arguments, "confidence", None) == "certain":
            return "The agent is certain."
        return ""

    def _about(self, run: Run) -> dict[str, Any]:
        """What the tool's own arguments say, the newest of each."""
        about: dict[str, Any] = {}
        for step in run.steps:
            about |= step.details
        return about

    def _place(self, run: Run, step: Step, context: ToolContext) -> dict[str, Any]:
        return {
            "step_number": step.number,
            "total_steps": step.total,
            "next_step_required": not step.is_last,
            "continuation_id": context.continuation_id,
        }

    def _next_arguments(self, step: Step, context: ToolContext) -> dict[str, Any]:
        number = step.number + 1
        return {
            "step": "…",
            "step_number": number,
            "total_steps": max(step.total, number),
            "next_step_required": number < step.total,
            "continuation_id": context.continuation_id,
            **self._needed_again(step),
        }

    def _needed_again(self, step: Step) -> dict[str, Any]:
        """The tool's own required arguments: findings to fill in, all others as they were."""
        fields = self.input_model.model_fields
        own = {
            name: step.details[name] for name, field in fields.items() if field.is_required() and name in step.details
        }
        return {**({"findings": "…"} if "findings" in fields else {}), **own}


def _check_words(arguments: StepInput) -> None:
    if not arguments.step.strip():
        raise InvalidValue("The step is empty: say what you do in it.", step="must not be empty")

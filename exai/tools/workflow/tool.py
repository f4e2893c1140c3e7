"""A workflow tool: takes a step, keeps it, and tells what comes next; at the end it asks the expert."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec.structs import replace

from exai.protocol.errors import InvalidValue
from exai.protocol.values import FileMention, Turn
from exai.providers.registry import AUTO
from exai.tools.base import Tool, ToolAnswer
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt
from exai.tools.steps import Step
from exai.tools.workflow.expert import Opinion, Report, ask_expert
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import InvestigationInput, ModelInput, StepInput
from exai.tools.workflow.requests import REQUESTS
from exai.tools.workflow.run import Run, check_count, check_order, check_size, run_of

Input = TypeVar("Input", bound=StepInput)

# Of a step's arguments, those that every tool knows; all others are the tool's own.
_GENERAL = frozenset(InvestigationInput.model_fields) | {"hypothesis"}


class WorkflowTool(Tool[Input]):
    """`wants`: what the expert cannot do without. `statuses`: with which the expert may ask for more instead.
    `file_fields`: arguments that name files; those of all but `images` are the run's relevant files.
    `complete_status`: of the answer to the last step, where it is not `<name>_complete`.
    `other_way`: how a step that is there already can be replaced, with the step's `{number}`.

    Below, `told` is what the tool's own arguments say so far (`Run.told`).
    """

    keeps_conversation = True
    keeps_steps = True
    asks_expert: ClassVar[bool] = True
    guidance: ClassVar[Guidance]
    wants: ClassVar[tuple[str, ...]] = ("relevant_files",)
    statuses: ClassVar[frozenset[str]] = frozenset()
    file_fields: ClassVar[tuple[str, ...]] = ("relevant_files", "images")
    complete_status: ClassVar[str] = ""
    other_way: ClassVar[str] = "replace step {number} and all after it by backtrack_from_step {number}"
    next_steps: ClassVar[str]  # after the last step, whether an expert was asked or not

    async def run(self, arguments: Input, context: ToolContext) -> ToolAnswer:
        _check_words(arguments)
        self._check_model(arguments, context)
        run = run_of(self.name, context.steps)
        backtrack = getattr(arguments, "backtrack_from_step", None)
        check_order(
            run,
            number=arguments.step_number,
            backtrack=backtrack,
            continues=context.continues,
            reopens=self.reopens(arguments),
            other_way=self.other_way,
        )
        check_count(arguments.step_number, is_last=not arguments.next_step_required)
        taken = await context.files.take({field: getattr(arguments, field, None) or () for field in self.file_fields})
        step = self._step(arguments, taken, goes_back=backtrack is not None)
        check_size(context.steps, step)
        self.check(step, run)
        run = run.with_step(step)
        if not step.is_last:
            return self._go_on(run, step, arguments, context)
        return await self._finish(run, step, arguments, context)

    def check(self, step: Step, run: Run) -> None:
        """What the tool itself asks of a step, before it is kept; `run` is without it. Raises `InvalidValue`."""

    def reopens(self, arguments: Input) -> bool:
        """Whether a step goes on with a run that is complete."""
        return False

    def about(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the expert is told of them."""
        return told

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        """What is to be said to the agent beside the guidance."""
        return ()

    def message(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        """To the agent, after a step that is not the last."""
        return " ".join((self.guidance.text(run, gathered, wants=self.wants), *self.hints(run, told)))

    def progress(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> dict[str, Any]:
        """How far it is, for the agent."""
        return gathered.counts()

    def conclusion(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        """The answer of a last step without an expert, for the agent."""
        return self.next_steps

    def needed_again(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Of the next call's arguments, the tool's own that are required: as they were."""
        return {
            name: told[name]
            for name, field in self.input_model.model_fields.items()
            if field.is_required() and name in told
        }

    def _step(self, arguments: Input, taken: Mapping[str, tuple[FileMention, ...]], *, goes_back: bool) -> Step:
        given = arguments.model_dump(exclude_none=True, exclude_unset=True)
        given |= {field: [file.name for file in files] for field, files in taken.items() if files}
        number, is_last = arguments.step_number, not arguments.next_step_required
        return Step(
            number=number,
            total=number if is_last else max(arguments.total_steps, number + 1),
            text=arguments.step.strip(),
            is_last=is_last,
            findings=given.get("findings", "").strip(),
            files_checked=tuple(given.get("files_checked", ())),
            relevant_files=tuple(file for field in self.file_fields if field != "images" for file in taken[field]),
            images=taken["images"],
            relevant_context=tuple(given.get("relevant_context", ())),
            issues_found=tuple(given.get("issues_found", ())),
            confidence=given.get("confidence", ""),
            hypothesis=given.get("hypothesis", ""),
            goes_back=goes_back,
            details={name: value for name, value in given.items() if name not in _GENERAL},
        )

    def _go_on(self, run: Run, step: Step, arguments: Input, context: ToolContext) -> ToolAnswer:
        gathered, told = Gathered.of(run), run.told
        message = self.message(run, gathered, told)
        return ToolAnswer(
            content=message,
            status=f"pause_for_{self.name}",
            step=step,
            fields={
                **self._place(step, context),
                "next_call": self._next_call(step, arguments, context, told),
                "message": message,
                f"{self.name}_status": self.progress(run, gathered, told),
            },
        )

    async def _finish(self, run: Run, step: Step, arguments: Input, context: ToolContext) -> ToolAnswer:
        gathered, told = Gathered.of(run), run.told
        fields = {
            **self._place(step, context),
            f"{self.name}_complete": True,
            "next_steps": self.next_steps,
            f"{self.name}_status": self.progress(run, gathered, told),
        }
        why_not = self._why_no_expert(arguments)
        if why_not:
            return ToolAnswer(
                content=self.conclusion(run, gathered, told),
                content_type="markdown",
                status=self.complete_status or f"{self.name}_complete",
                step=step,
                fields={**fields, "expert_analysis": {"status": "skipped", "reason": why_not}},
            )
        opinion = await ask_expert(
            context,
            system=prompt(self.name),
            report=Report(run, gathered, self.about(told)),
            arguments=arguments,
            statuses=self.statuses,
        )
        if request := REQUESTS.get(opinion.status):
            fields["next_steps"] = request.advice
            if request.keeps_open:
                step = replace(step, is_last=False, total=step.number + 1)
                fields |= {**self._place(step, context), f"{self.name}_complete": False}
                fields["next_call"] = self._next_call(step, arguments, context, told)
            elif request.tool in context.caller.tool_names:
                arguments_there = {**request.arguments, "continuation_id": context.continuation_id}
                fields["next_call"] = {"tool": request.tool, "arguments": arguments_there}
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
            status=opinion.status or self.complete_status or f"{self.name}_complete",
            step=step,
            turn=Turn(user=opinion.asked, assistant=answer.text, files=answer.mentions),
            model=answer.model,
            provider=answer.provider,
            usage=answer.usage,
            reasoning=answer.reasoning,
            metadata=metadata,
            fields={**fields, "expert_analysis": opinion.analysis},
        )

    def _check_model(self, arguments: Input, context: ToolContext) -> None:
        """Now, and not only once all steps are done. Raises `InvalidValue`."""
        model = arguments.model if self.asks_expert and isinstance(arguments, ModelInput) else None
        if model is not None and model.strip().lower() not in ("", AUTO):
            context.registry.named(model)

    def _why_no_expert(self, arguments: Input) -> str:
        if not self.asks_expert:
            return "This tool asks no model."
        if arguments.use_assistant_model is False:
            return "use_assistant_model is false."
        if getattr(arguments, "confidence", None) == "certain":
            return "The agent is certain."
        return ""

    def _place(self, step: Step, context: ToolContext) -> dict[str, Any]:
        return {
            "step_number": step.number,
            "total_steps": step.total,
            "next_step_required": not step.is_last,
            "continuation_id": context.continuation_id,
        }

    def _next_call(self, step: Step, arguments: Input, context: ToolContext, told: Mapping[str, Any]) -> dict[str, Any]:
        number = step.number + 1
        given = {
            "step": "…",
            "step_number": number,
            "total_steps": max(step.total, number),
            "next_step_required": number < step.total,
            "continuation_id": context.continuation_id,
            **({"findings": "…"} if "findings" in self.input_model.model_fields else {}),
            **self.needed_again(told),
            **(arguments.asking if self.asks_expert else {}),
        }
        return {"tool": self.name, "arguments": given}


def _check_words(arguments: StepInput) -> None:
    if not arguments.step.strip():
        raise InvalidValue("The step is empty: say what you do in it.", step="must not be empty")

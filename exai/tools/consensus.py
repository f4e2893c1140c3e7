"""consensus: several models answer one question at once, each alone, and one of them sums up what they said.

All of it is one call: step 1 with next_step_required false. A caller that wants to think about the answers first sends
next_step_required true, and gets the synthesis with its last step. One that goes from model to model, as it would where
each step asks one, gets the answer of each from what is kept: no model is asked twice.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.protocol.errors import HubError, InvalidValue
from exai.protocol.values import FileMention, Turn
from exai.tools.base import Tool, ToolAnswer
from exai.tools.consensus_input import ConsensusInput
from exai.tools.context import ModelAnswer, ToolContext
from exai.tools.panel import Member, Opinion, ask_panel, check_members
from exai.tools.prompts import prompt
from exai.tools.steps import Step
from exai.tools.workflow.run import Run, check_count, check_size, run_of

_OPINIONS = tuple[Opinion, ...]
_WEIGH = (
    "Weigh the answers by their evidence against your own position, check in the code what they dispute, and say which "
    "arguments changed your mind."
)


class Consensus(Tool[ConsensusInput]):
    name = "consensus"
    description = (
        "Ask several models one question at once, each for, against or neutral, none seeing the others' answers; then "
        "one sums up. For decisions. One call with step_number 1 and next_step_required false does it all."
    )
    input_model = ConsensusInput
    keeps_conversation = True
    keeps_steps = True

    _system = prompt("consensus_synthesis")

    async def run(self, arguments: ConsensusInput, context: ToolContext) -> ToolAnswer:
        if not arguments.step.strip():
            raise InvalidValue("The step is empty: ask the question there.", step="must not be empty")
        run = run_of(self.name, context.steps)
        _check_order(run, arguments.step_number, continues=context.continues)
        check_count(arguments.step_number, is_last=not arguments.next_step_required)
        check_size(context.steps, _step(arguments))
        if arguments.step_number == 1:
            return await self._begin(arguments, context)
        opinions = _opinions_of(run)
        _check_same_models(arguments.members, opinions)
        return await self._go_on(arguments, context, run, opinions)

    async def _begin(self, arguments: ConsensusInput, context: ToolContext) -> ToolAnswer:
        members = arguments.members
        check_members(members, context.registry)
        taken = await context.files.take(
            {"relevant_files": arguments.relevant_files or (), "images": arguments.images or ()}
        )
        files, images = taken["relevant_files"], taken["images"]
        question = arguments.step.strip()
        opinions = await ask_panel(context, members, question=question, files=files, images=images)
        step = _step(arguments, files=files, images=images, opinions=opinions)
        sent = tuple({file.id: file for file in (*files, *images)}.values())
        said = "\n\n".join(opinion.as_markdown() for opinion in opinions)
        if not step.is_last:
            answer = self._paused(arguments, context, step, opinions)
            answer.turn = Turn(user=question, assistant=said, files=sent)
        else:
            synthesis = failure = None
            if arguments.use_assistant_model is not False:
                try:
                    synthesis = await self._sum_up(arguments, context, Run(self.name, (step,)), opinions)
                except HubError as error:  # the answers are paid for, and worth having without it
                    failure = error
            answer = self._complete(arguments, context, step, opinions, synthesis, failure)
            summed_up = f"# Synthesis\n\n{synthesis.text}\n\n# Answers\n\n" if synthesis else ""
            answer.turn = Turn(user=question, assistant=summed_up + said, files=sent)
        return answer

    async def _go_on(
        self, arguments: ConsensusInput, context: ToolContext, run: Run, opinions: _OPINIONS
    ) -> ToolAnswer:
        step = _step(arguments)
        if not step.is_last:
            return self._paused(arguments, context, step, opinions)
        if arguments.use_assistant_model is False:
            return self._complete(arguments, context, step, opinions, None, None)
        synthesis = await self._sum_up(arguments, context, run.with_step(step), opinions)
        answer = self._complete(arguments, context, step, opinions, synthesis, None)
        answer.turn = Turn(user=_said(step), assistant=synthesis.text)
        return answer

    async def _sum_up(
        self, arguments: ConsensusInput, context: ToolContext, run: Run, opinions: _OPINIONS
    ) -> ModelAnswer:
        """Of all that there is to know, without the conversation: the answers may stand there too."""
        first, *later = run.steps
        parts = [f"# The question\n\n{first.text}"]
        if named := ", ".join(file.name for file in first.files):
            parts.append(f"The models were also sent these files: {named}")
        position = [first.findings, *map(_said, later)]
        parts.append("# The agent's position\n\n" + ("\n\n".join(filter(None, position)) or "It gives none."))
        parts.append("# The answers")
        parts += [opinion.as_markdown() for opinion in opinions]
        return await context.ask(
            system=self._system,
            prompt="\n\n".join(parts),
            model=arguments.model,
            route="deep",
            with_conversation=False,
        )

    def _paused(self, arguments: ConsensusInput, context: ToolContext, step: Step, opinions: _OPINIONS) -> ToolAnswer:
        answered = sum(not opinion.error_code for opinion in opinions)
        message = (
            f"{answered} of {len(opinions)} models have answered, see model_responses; none is asked again. {_WEIGH} "
            "Then send the last step, next_step_required false, with your position in findings: one model sums up."
        )
        number = step.number + 1
        final = {
            "step": "…",
            "findings": "…",
            "step_number": number,
            "total_steps": number,
            "next_step_required": False,
            "continuation_id": context.continuation_id,
            **arguments.asking,
        }
        return ToolAnswer(
            content=message,
            status=f"pause_for_{self.name}",
            step=step,
            fields={
                **_fields(arguments, context, step, opinions),
                "message": message,
                "next_call": {"tool": self.name, "arguments": final},
            },
            **_asked(context),
        )

    def _complete(
        self,
        arguments: ConsensusInput,
        context: ToolContext,
        step: Step,
        opinions: _OPINIONS,
        synthesis: ModelAnswer | None,
        failure: HubError | None,
    ) -> ToolAnswer:
        fields = {
            **_fields(arguments, context, step, opinions),
            "consensus_complete": True,
            "next_steps": _WEIGH,
        }
        if synthesis is None:
            fields["synthesis"] = (
                {"status": "error", "error": {"code": failure.code.value, "message": failure.message}}
                if failure
                else {"status": "skipped", "reason": "use_assistant_model is false."}
            )
            why = f" The synthesis failed: {failure.message}" if failure else ""
            answer = ToolAnswer(content=f"The answers are in model_responses.{why} {_WEIGH}", **_asked(context))
        else:
            fields["synthesis"] = {"status": "success", "model": synthesis.model, "provider": synthesis.provider}
            metadata: dict[str, Any] = {"finish_reason": synthesis.finish_reason, **synthesis.choice}
            if synthesis.reasoning:
                metadata["reasoning"] = synthesis.reasoning
            answer = ToolAnswer(
                content=synthesis.text,
                model=synthesis.model,
                provider=synthesis.provider,
                usage=context.spending.usage,
                reasoning=synthesis.reasoning,
                metadata=metadata,
            )
        answer.content_type, answer.status, answer.step = "markdown", f"{self.name}_complete", step
        answer.fields = fields
        return answer


def _step(
    arguments: ConsensusInput,
    *,
    files: tuple[FileMention, ...] = (),
    images: tuple[FileMention, ...] = (),
    opinions: _OPINIONS = (),
) -> Step:
    number, is_last = arguments.step_number, not arguments.next_step_required
    return Step(
        number=number,
        total=number if is_last else max(arguments.total_steps, number + 1),
        text=arguments.step.strip(),
        is_last=is_last,
        findings=(arguments.findings or "").strip(),
        relevant_files=files,
        images=images,
        details={"opinions": msgspec.to_builtins(opinions)} if opinions else {},
    )


def _opinions_of(run: Run) -> _OPINIONS:
    return msgspec.convert(run.steps[0].details["opinions"], _OPINIONS)


def _fields(arguments: ConsensusInput, context: ToolContext, step: Step, opinions: _OPINIONS) -> dict[str, Any]:
    index = arguments.current_model_index
    index = step.number - 1 if index is None else index
    return {
        "step_number": step.number,
        "total_steps": step.total,
        "next_step_required": not step.is_last,
        "continuation_id": context.continuation_id,
        "models_consulted": [opinion.member.title for opinion in opinions if not opinion.error_code],
        "current_model_index": index,
        "model_response": opinions[index].described() if index < len(opinions) else None,
        "model_responses": [opinion.described() for opinion in opinions],
    }


def _asked(context: ToolContext) -> dict[str, Any]:
    """Who was asked in this call, if anyone."""
    return {
        "model": context.model_name,
        "provider": context.provider_name,
        "usage": context.spending.usage,
    }


def _said(step: Step) -> str:
    return "\n\n".join(filter(None, (step.text, step.findings)))


def _check_order(run: Run, number: int, *, continues: bool) -> None:
    """That this step may come now. Raises `InvalidValue` that says which one may."""
    open_run = bool(run.steps) and not run.is_over
    expected = run.last_number + 1 if open_run else 1
    if number != expected:
        where = f"consensus is at step {run.last_number}" if open_run else "there is no consensus under way here"
        hint = "" if open_run or continues else ", or pass the continuation_id that step 1 was answered with"
        raise InvalidValue(
            f"{where[0].upper()}{where[1:]}: the next step_number is {expected}{hint}.",
            step_number=f"must be {expected}",
        )


def _check_same_models(members: Sequence[Member], opinions: _OPINIONS) -> None:
    if members and tuple(members) != tuple(opinion.member for opinion in opinions):
        raise InvalidValue(
            "The models were asked in step 1 already. Leave `models` out, or finish with next_step_required false and "
            "begin with step_number 1 to ask others.",
            models="other than in step 1",
        )

"""What the expert model is asked at the end of a run, and what its answer is taken for."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from exai.protocol.errors import ContentTooLarge
from exai.protocol.values import FileMention
from exai.tools.context import ModelAnswer, ToolContext
from exai.tools.steps import Step
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.input import AskingInput, ModelInput
from exai.tools.workflow.run import Run

_SHORT_FINDINGS = 2_000  # characters of a step, where the whole is too much for the model


class Report(msgspec.Struct, frozen=True):
    """What the agent reports, as the expert reads it. `about`: what only this tool asks for, name -> value."""

    run: Run
    gathered: Gathered
    about: Mapping[str, Any] = {}

    def text(self, *, longest_findings: int | None = None) -> str:
        """Markdown. `longest_findings`: characters of each step but the last; None: all."""
        first = self.run.steps[0]
        parts = [f"# Task\n{first.text}"]
        if self.about:
            parts.append(
                "# Asked for\n" + "\n".join(f"- {name}: {_shown(value)}" for name, value in self.about.items())
            )
        parts.append("# What the agent did and found")
        for step in self.run.steps:
            longest = None if step is self.run.steps[-1] else longest_findings
            parts.append(_of_step(step, longest, is_task=step is first))
        parts.append("# Where it stands\n" + "\n".join(self._facts()))
        return "\n\n".join(part for part in parts if part)

    def _facts(self) -> Iterable[str]:
        gathered = self.gathered
        if gathered.hypothesis:
            yield f"Hypothesis: {gathered.hypothesis}"
        yield f"The agent's confidence: {gathered.confidence or 'not told'}"
        for title, names in (("Files it looked at", gathered.files_checked), ("It names", gathered.relevant_context)):
            if names:
                yield f"{title}: {', '.join(names)}"
        if gathered.issues_found:
            yield "Issues it reports:"
            for issue in gathered.issues_found:
                yield f"- {_shown(issue)}"


class Opinion(msgspec.Struct, frozen=True):
    """`status`: of the answer, where the expert asks for something instead of judging; empty: it judged. `left_out`: in
    words, what did not fit the model's context."""

    answer: ModelAnswer
    asked: str
    status: str
    analysis: dict[str, Any]
    left_out: tuple[str, ...]


async def ask_expert(
    context: ToolContext, *, system: str, report: Report, arguments: Any, statuses: frozenset[str]
) -> Opinion:
    """Asks once, with as much of the report as the model takes. Raises `HubError`s.

    `arguments`: of a tool that takes a model, and perhaps how to ask it. `statuses`: those with which the expert may
    ask for more, as the `status` of a JSON object that ends its answer.
    """
    files = list(report.gathered.relevant_files)
    left_out: list[str] = []
    longest: int | None = None
    while True:
        asked = report.text(longest_findings=longest)
        try:
            answer = await _ask(context, system, asked, files, report.gathered.images, arguments)
            break
        except ContentTooLarge as too_large:
            if context.model_name:
                raise  # it was asked, and found it too much itself
            largest = _largest(files, too_large)
            if largest is not None:
                files.remove(largest)
                left_out.append(f"file {largest.name}")
            elif longest is None:
                longest = _SHORT_FINDINGS
                left_out.append(f"findings of earlier steps beyond {_SHORT_FINDINGS} characters each")
            else:
                raise
    status, analysis = _understood(answer.text, statuses)
    return Opinion(answer, asked, status, analysis, tuple(left_out))


async def _ask(
    context: ToolContext,
    system: str,
    asked: str,
    files: Sequence[FileMention],
    images: Sequence[FileMention],
    arguments: Any,
) -> ModelAnswer:
    model = arguments.model if isinstance(arguments, ModelInput) else None
    asking = arguments if isinstance(arguments, AskingInput) else AskingInput()
    return await context.ask(
        system=system,
        prompt=asked,
        model=model,
        temperature=asking.temperature,
        thinking=asking.thinking_mode,
        web_search=asking.use_websearch is not False,
        route="deep",
        files=files,
        images=images,
    )


def _largest(files: Sequence[FileMention], too_large: ContentTooLarge) -> FileMention | None:
    """The error lists the files of the question, the largest first."""
    for told in too_large.details.get("files", ()):
        for file in files:
            if str(file.id) == told["id"]:
                return file
    return None


def _understood(text: str, statuses: frozenset[str]) -> tuple[str, dict[str, Any]]:
    """A JSON object that ends the answer, fenced or not, may carry one of the statuses; all else is the analysis."""
    before, found = _json_at_the_end(text.strip())
    try:
        told = msgspec.json.decode(found)  # which refuses what could not be sent on: lone surrogates, NaN
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("status"), str) or told["status"] not in statuses:
        return "", {"status": "analysis_complete", "analysis": text}
    return told["status"], {**told, **({"analysis": before} if before else {})}


def _json_at_the_end(text: str) -> tuple[str, str]:
    """What may be an object, and what stands before it."""
    if text.endswith("```"):
        before, _, found = text[:-3].rpartition("```")
        return before.strip(), found.removeprefix("json").strip()
    if text.startswith("{"):
        return "", text
    before, _, found = text.rpartition("\n{")
    return before.strip(), "{" + found


def _of_step(step: Step, longest: int | None, *, is_task: bool) -> str:
    findings = step.findings
    if longest is not None and len(findings) > longest:
        findings = findings[:longest] + " […]"
    said = [] if is_task else [step.text]
    return "\n".join((f"## Step {step.number}", *said, *([findings] if findings else [])))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

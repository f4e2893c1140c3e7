"""docgen: documentation written into code, file by file, none forgotten. No model is asked."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.tools.steps import Step
from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import IssuesInput, UnaskedFindingsInput, UnaskedInput
from exai.tools.workflow.run import Run
from exai.tools.workflow.tool import WorkflowTool

# They are required, and yet have defaults, which tell an agent what to send.
_Wish = Annotated[bool, Field(json_schema_extra={"default": True})]
_Count = Annotated[int, Field(ge=0, json_schema_extra={"default": 0})]

# Each wish: what to do where it is true, and where it is not.
_WISHES = {
    "document_complexity": ("Give the time and space complexity of what is more than constant.", ""),
    "document_flow": ("Say who calls it and what it calls, where that is not plain.", ""),
    "update_existing": (
        "Correct documentation that is wrong or thin.",
        "Leave documentation that is there as it is, and report what is wrong in it.",
    ),
    "comments_on_complex_logic": (
        "Put a comment of why at steps that are hard to follow.",
        "Add no comments inside of functions.",
    ),
}


class DocGenInput(IssuesInput, UnaskedFindingsInput, UnaskedInput):
    document_complexity: _Wish
    document_flow: _Wish
    update_existing: _Wish
    comments_on_complex_logic: _Wish
    num_files_documented: _Count
    total_files_to_document: _Count


class DocGen(WorkflowTool[DocGenInput]):
    name = "docgen"
    description = (
        "Document code, one file a step: you write docstrings and comments, the hub counts and lets you finish only "
        "when every file is done. No model is asked."
    )
    input_model = DocGenInput
    asks_expert = False
    wants = ()
    other_way = ""
    guidance = Guidance(
        begin=(
            "List the files to document and count them in total_files_to_document. Learn the project's form of "
            "docstrings from one that is good. Document nothing yet."
        ),
        go_on=(
            "Take the next file and document it whole: what each public name is for, units, ranges, errors, side "
            "effects; not what the code says itself. Change no code: report bugs in issues_found."
        ),
        make_sure=(
            "All files are documented: check that nothing but documentation has changed, and that tests still pass. "
            "Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Show the user what was documented, and the bugs that you came across; fix those only when asked. Check by the "
        "diff that no code has changed."
    )

    def check(self, step: Step, run: Run) -> None:
        done, total = _counts(step.details)
        if done > total:
            raise InvalidValue(
                f"{done} files are documented of {total}: raise total_files_to_document.",
                num_files_documented="more than total_files_to_document",
            )
        if step.is_last and done < total:
            left = "1 file is" if total - done == 1 else f"{total - done} files are"
            raise InvalidValue(
                f"{left} not documented yet ({done} of {total}): go on with step_number {step.number} and "
                "next_step_required true, one file a step, and count each in num_files_documented.",
                next_step_required=f"{total - done} of {total} files are left",
            )

    def message(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        done, total = _counts(told)
        stage = self.guidance.begin if run.last_number == 1 and not done else self.guidance.go_on
        if total and done == total:
            stage = self.guidance.make_sure
        return " ".join((stage, *self.hints(run, told)))

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        done, total = _counts(told)
        if total and done == total:
            return
        yield f"{done} of {total} files are documented."
        for wish, (if_so, if_not) in _WISHES.items():
            if words := if_so if told[wish] else if_not:
                yield words

    def progress(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> dict[str, Any]:
        done, total = _counts(told)
        return {**gathered.counts(), "num_files_documented": done, "total_files_to_document": total}

    def conclusion(self, run: Run, gathered: Gathered, told: Mapping[str, Any]) -> str:
        done, total = _counts(told)
        parts = [f"{done} of {total} files are documented. {self.next_steps}"]
        if gathered.issues_found:
            issues = [issue.get("description") or str(issue) for issue in gathered.issues_found]
            parts.append("Reported on the way:\n" + "\n".join(f"- {issue}" for issue in issues))
        return "\n\n".join(parts)


def _counts(told: Mapping[str, Any]) -> tuple[int, int]:
    """Of files: documented, and to document."""
    return told["num_files_documented"], told["total_files_to_document"]

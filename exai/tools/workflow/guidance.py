"""What an agent is told between two steps: what to do next, by how far it is, and what is missing so far."""

from collections.abc import Iterable

import msgspec

from exai.tools.workflow.gathered import Gathered
from exai.tools.workflow.run import Run

_SURE = ("high", "very_high", "almost_certain", "certain")


class Guidance(msgspec.Struct, frozen=True):
    """Of one tool, in words to the agent: what to do after the first step, while it is unsure, and once it is sure."""

    begin: str
    go_on: str
    make_sure: str

    def text(self, run: Run, gathered: Gathered, *, wants: tuple[str, ...]) -> str:
        """`wants`: the fields without which the expert cannot judge."""
        if run.last_number == 1:
            return " ".join((self.begin, *_report_in(wants)))
        still_missing = missing(gathered, wants)
        if gathered.confidence in _SURE:
            return " ".join((*still_missing, self.make_sure))
        return " ".join((self.go_on, *still_missing))


def _report_in(wants: tuple[str, ...]) -> Iterable[str]:
    if wants:
        yield f"As you go, fill in {', '.join(wants)} and confidence, too."
    if "relevant_files" in wants:
        yield "The expert sees the relevant_files and no others: give their contents or ids."


_MISSING = {
    "files_checked": "You have named no file in files_checked yet.",
    "relevant_files": "Nothing is in relevant_files yet: the expert will see no file.",
    "relevant_context": "You have named no function or class in relevant_context yet.",
    "issues_found": "No issue is in issues_found yet: report each there, or say in findings that there is none.",
    "hypothesis": "You have told no hypothesis yet.",
}


def missing(gathered: Gathered, wants: tuple[str, ...]) -> list[str]:
    """A sentence for each wanted field that is still empty."""
    return [_MISSING[field] for field in wants if not getattr(gathered, field)]

"""What an agent is told between two steps: what to do next, by how far it is, and what is missing so far."""

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
        later = self.make_sure if gathered.confidence in _SURE else self.go_on
        return " ".join((self.begin if run.last_number == 1 else later, *missing(run, gathered, wants)))


_MISSING = {
    "files_checked": "You have named no file in files_checked yet.",
    "relevant_files": "Nothing is in relevant_files yet: the expert sees those files and no others.",
    "relevant_context": "You have named no function or class in relevant_context yet.",
    "issues_found": "No issue is in issues_found yet: report each there, or say in findings that there is none.",
    "hypothesis": "You have told no hypothesis yet.",
}


def missing(run: Run, gathered: Gathered, wants: tuple[str, ...]) -> list[str]:
    """A sentence for each wanted field that is still empty, from the second step on."""
    if run.last_number < 2:
        return []
    return [_MISSING[field] for field in wants if not getattr(gathered, field)]

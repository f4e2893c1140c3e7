"""What the steps of a run have found so far, all together."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Self, TypeVar

import msgspec

from exai.protocol.values import FileMention
from exai.tools.workflow.run import Run

_Item = TypeVar("_Item")
SEVERITIES = ("critical", "high", "medium", "low")


class Gathered(msgspec.Struct, frozen=True):
    """Each thing once, in the order in which it came; `confidence` and `hypothesis` are the newest."""

    files_checked: tuple[str, ...]
    relevant_files: tuple[FileMention, ...]
    images: tuple[FileMention, ...]
    relevant_context: tuple[str, ...]
    issues_found: tuple[dict[str, Any], ...]
    confidence: str
    hypothesis: str

    @classmethod
    def of(cls, run: Run) -> Self:
        steps = run.steps
        return cls(
            files_checked=_once(name for step in steps for name in step.files_checked),
            relevant_files=_files(file for step in steps for file in step.relevant_files),
            images=_files(file for step in steps for file in step.images),
            relevant_context=_once(name for step in steps for name in step.relevant_context),
            issues_found=tuple(_issues(issue for step in steps for issue in step.issues_found)),
            confidence=_newest(step.confidence for step in steps),
            hypothesis=_newest(step.hypothesis for step in steps),
        )

    def counts(self) -> dict[str, Any]:
        """For the agent: how much of each there is."""
        severities = Counter(severity_of(issue) for issue in self.issues_found)
        return {
            "files_checked": len(self.files_checked),
            "relevant_files": len(self.relevant_files),
            "relevant_context": len(self.relevant_context),
            "issues_found": len(self.issues_found),
            "issues_by_severity": {severity: severities[severity] for severity in SEVERITIES if severities[severity]},
            "images_collected": len(self.images),
            "current_confidence": self.confidence or "exploring",
        }


def severity_of(issue: dict[str, Any]) -> str:
    """In lower case; empty where the issue names none."""
    severity = issue.get("severity")
    return severity.strip().lower() if isinstance(severity, str) else ""


def _once(items: Iterable[_Item]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(items))


def _files(files: Iterable[FileMention]) -> tuple[FileMention, ...]:
    return tuple({file.id: file for file in files}.values())


def _issues(issues: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return {msgspec.json.encode(issue, order="deterministic"): issue for issue in issues}.values()


def _newest(values: Iterable[str]) -> str:
    newest = ""
    for value in values:
        newest = value or newest
    return newest

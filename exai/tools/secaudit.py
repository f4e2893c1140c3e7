"""secaudit: looking for ways to attack a system."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput, SeverityInput, Words
from exai.tools.workflow.run import Run
from exai.tools.workflow.severity import asked_severities
from exai.tools.workflow.tool import WorkflowTool

_LOOK_AT = {
    "owasp": "Go through the OWASP Top 10 one by one, and say of each whether it applies and what you checked.",
    "compliance": "Take the named requirements one by one: the control that meets each, or the gap.",
    "infrastructure": "Look at configuration, networks, containers, pipelines, secrets, logs and backups.",
    "dependencies": "List dependencies with their pinned versions, run the ecosystem's audit command, and see which of "
    "its findings the code can reach.",
}


class SecAuditInput(SeverityInput, HypothesisInput, InvestigationInput):
    security_scope: str | None = Field(None, description="What is exposed, and to whom")
    threat_level: Literal["low", "medium", "high", "critical"] | None = "medium"
    compliance_requirements: Words | None = Field(None, description="As PCI DSS, GDPR")
    audit_focus: Literal["owasp", "compliance", "infrastructure", "dependencies", "comprehensive"] | None = (
        "comprehensive"
    )


class SecAudit(WorkflowTool[SecAuditInput]):
    name = "secaudit"
    description = (
        "Audit the security of a system or a part: map the attack surface and report weaknesses in steps; at the end "
        "an expert model judges which can be exploited, and how to close them."
    )
    input_model = SecAuditInput
    wants = ("files_checked", "relevant_files", "issues_found")
    statuses = frozenset({"files_required_to_continue", "focused_review_required"})
    guidance = Guidance(
        begin=(
            "Draw the attack surface: where input enters, who may call it, what it guards, which boundaries of trust "
            "there are. Say who the attacker is and what it may do already. Change nothing and attack nothing that "
            "runs."
        ),
        go_on=(
            "Follow input from each entry to where it does something: query, file, command, page, other service. Check "
            "authentication, rights on each object, secrets, cryptography, limits, logs. For each weakness give the "
            "path of the attack in issues_found, or what stops it."
        ),
        make_sure=(
            "Try to refute each weakness: is the path reachable, with which rights? Rate it by likelihood and damage, "
            "and look for the same pattern elsewhere. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Confirm each weakness in the code, without attacking a running system. Fix by what can be exploited with the "
        "least rights, with a test that the attack fails; rotate secrets that were exposed."
    )

    def about(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        return asked_severities(told)

    def hints(self, run: Run, told: Mapping[str, Any]) -> Iterable[str]:
        if run.last_number == 1 and (look_at := _LOOK_AT.get(told.get("audit_focus", ""))):
            yield look_at
        if told.get("audit_focus") == "compliance" and not told.get("compliance_requirements"):
            yield "You have named no compliance_requirements yet."

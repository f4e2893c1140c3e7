"""debug: hunting down the cause of a bug, step by step."""

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput
from exai.tools.workflow.tool import WorkflowTool


class DebugInput(HypothesisInput, InvestigationInput):
    pass


class Debug(WorkflowTool[DebugInput]):
    name = "debug"
    description = (
        "Find the cause of a bug: investigate and report step by step, from the symptom on; at the end an expert model "
        "gives root cause and fix."
    )
    input_model = DebugInput
    wants = ("files_checked", "relevant_files", "hypothesis")
    statuses = frozenset({"files_required_to_continue", "no_bug_found"})
    guidance = Guidance(
        begin=(
            "Reproduce it, or find where the symptom shows. Follow the data from there backwards: callers, recent "
            "changes, configuration, logs. Note each file you look at, what it proves, and what it rules out."
        ),
        go_on=(
            "Test the hypothesis against the code: what else would have to be true, and is it? Look for what "
            "contradicts it. Report evidence by file and line, and say which other causes are ruled out, by what."
        ),
        make_sure=(
            "Trace the cause to every symptom that was reported. Find the smallest fix, what it could break, and a "
            "test that fails without it. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Check the named cause against the code yourself, write the test that fails, make the smallest fix, and look "
        "for the same fault elsewhere."
    )

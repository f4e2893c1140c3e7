"""testgen: tests for code that there is."""

from exai.tools.workflow.guidance import Guidance
from exai.tools.workflow.input import HypothesisInput, InvestigationInput
from exai.tools.workflow.tool import WorkflowTool


class GenerateTestsInput(HypothesisInput, InvestigationInput):
    pass


class GenerateTests(WorkflowTool[GenerateTestsInput]):
    name = "testgen"
    description = (
        "Write tests for existing code: find behaviours, edge cases and the project's test style in steps; at the end "
        "an expert model writes the tests."
    )
    input_model = GenerateTestsInput
    wants = ("relevant_files", "relevant_context")
    statuses = frozenset({"files_required_to_continue", "test_sample_needed", "more_tests_required"})
    guidance = Guidance(
        begin=(
            "Read the code and its callers: what is promised, which inputs there are, which errors. Find the test "
            "framework, its fixtures, and one existing test that shows the style: put code and test into "
            "relevant_files."
        ),
        go_on=(
            "List behaviours, not lines: ordinary cases, borders, wrong input, failures of what it depends on, order "
            "and concurrency. Name the functions in relevant_context, and say which behaviours have tests already."
        ),
        make_sure=(
            "For each test that you want, say what fault it would catch; drop those that cannot fail. Say what needs a "
            "double and what is better real. Then finish with next_step_required false."
        ),
    )
    next_steps = (
        "Write the tests into the project and run them. Break the code once for each, to see that it fails. Where a "
        "test fails, find out whether the code or the expectation is wrong; do not bend the test."
    )

"""What an expert may answer instead of a judgement, and what the agent does about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True):
    """`advice`: to the agent. `keeps_open`: the run goes on with its next step, and the expert is asked again there.
    `tool`: another one to call in the same conversation, with these `arguments`."""

    advice: str
    keeps_open: bool = False
    tool: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})


REQUESTS: Mapping[str, Request] = MappingProxyType(
    {
        "files_required_to_continue": Request(
            "The expert cannot judge without more: send what it names as relevant_files of the next step.",
            keeps_open=True,
        ),
        "test_sample_needed": Request(
            "The expert wants to write as this project does: send one or two of its tests as relevant_files of the "
            "next step.",
            keeps_open=True,
        ),
        "focused_review_required": Request(
            "This is too much for one look: choose one of the parts that the expert names, and send a next step with "
            "the findings and files of that part.",
            keeps_open=True,
        ),
        "code_too_large": Request(
            "This is too much for one answer: send a next step with the one part to begin with.", keeps_open=True
        ),
        "more_tests_required": Request(
            "Take the tests that are there; then ask for the pending ones, a few at a time.",
            tool="chat",
            arguments=MappingProxyType({"prompt": "Write the pending tests: …"}),
        ),
        "full_codereview_required": Request(
            "The question is wider than an analysis: review the code.",
            tool="codereview",
            arguments=MappingProxyType(
                {"step": "…", "step_number": 1, "total_steps": 3, "next_step_required": True, "findings": "…"}
            ),
        ),
        "no_bug_found": Request(
            "Check what the expert says against the symptom; tell the user what happens and why it is right."
        ),
    }
)

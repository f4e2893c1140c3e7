"""The arguments that workflow tools share, in the parts that their schemas are made of."""

from typing import Annotated, Any, Literal

from pydantic import Field

from exai.providers.base import Thinking
from exai.tools.base import ToolInput
from exai.tools.files import FileReferences

Confidence = Literal["exploring", "low", "medium", "high", "very_high", "almost_certain", "certain"]
Number = Annotated[int, Field(ge=1)]
Words = Annotated[list[str], Field(fail_fast=True)]


class StepInput(ToolInput):
    step: str = Field(description="What you do in this step; in step 1 the task itself.")
    step_number: Number = Field(description="1, 2, 3, … without gaps.")
    total_steps: Number = Field(description="How many you expect; may change as you go.")
    next_step_required: bool = Field(description="False in the last step.")
    use_assistant_model: bool | None = Field(True, description="Whether an expert model is asked in the last step.")
    continuation_id: str | None = Field(None, description="From the first step's answer; needed from step 2 on.")

    @property
    def conversation_to_continue(self) -> str | None:
        return self.continuation_id


class FindingsInput(ToolInput):
    findings: str = Field(description="What you found in this step, with evidence: files, lines, output.")
    relevant_files: FileReferences | None = Field(
        None, description='What matters of them: ids of uploaded files, {"name","content"}, or data: URLs.'
    )
    relevant_context: Words | None = Field(None, description="Functions, classes, methods that matter.")


class CheckedInput(ToolInput):
    files_checked: Words | None = Field(None, description="Names of all files that you looked at.")


class IssuesInput(ToolInput):
    issues_found: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        None, description='Each {"severity": critical|high|medium|low, "description", "location"}.'
    )


class ConfidenceInput(ToolInput):
    confidence: Confidence | None = Field(
        None, description="In what you have found; `certain` asks no expert model at the end."
    )


class HypothesisInput(ToolInput):
    hypothesis: str | None = Field(None, description="What you believe now, and why.")


class BacktrackInput(ToolInput):
    backtrack_from_step: Number | None = Field(
        None, description="Discards that step and later ones; step_number is then the same number."
    )


class ImagesInput(ToolInput):
    images: FileReferences | None = Field(None, description="Screenshots or diagrams, named like files.")


class ModelInput(ToolInput):
    model: str | None = Field(None, description="For the expert's answer; without one the hub chooses.")


class AskingInput(ToolInput):
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    thinking_mode: Thinking | None = None
    use_websearch: bool | None = Field(True, description="Whether the expert may search the web.")


class InvestigationInput(
    AskingInput,
    ModelInput,
    ImagesInput,
    BacktrackInput,
    ConfidenceInput,
    IssuesInput,
    CheckedInput,
    FindingsInput,
    StepInput,
):
    """What most of them take."""

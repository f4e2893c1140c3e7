"""The arguments that workflow tools share, in the parts that their schemas are made of.

What their names say is not said again: every agent pays for each word, once for each tool. The answers to the steps
explain the rest when it matters.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from exai.providers.base import Thinking
from exai.tools.base import ToolInput
from exai.tools.files import FileReferences

Confidence = Literal["exploring", "low", "medium", "high", "very_high", "almost_certain", "certain"]
Number = Annotated[int, Field(ge=1)]
Words = Annotated[list[str], Field(fail_fast=True)]

_ASKING = {"use_assistant_model", "model", "temperature", "thinking_mode", "use_websearch"}


class StepInput(ToolInput):
    step: str = Field(description="What you do now; in step 1 the task")
    step_number: Number
    total_steps: Number
    next_step_required: bool
    use_assistant_model: bool | None = True
    continuation_id: str | None = Field(None, description="From step 1's answer")

    @property
    def conversation_to_continue(self) -> str | None:
        return self.continuation_id

    @property
    def asking(self) -> dict[str, Any]:
        """Whether and how the expert is to be asked, as far as the caller said: the next step has to say it again."""
        return self.model_dump(include=_ASKING, exclude_none=True, exclude_unset=True)


class FindingsInput(ToolInput):
    findings: str = Field(description="Evidence: file, line, output")
    relevant_files: FileReferences | None = Field(
        None, description="What the expert sees: file ids, or name and content"
    )
    relevant_context: Words | None = None


class CheckedInput(ToolInput):
    files_checked: Words | None = None


class IssuesInput(ToolInput):
    issues_found: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        None, description="{severity, description, location}"
    )


class ConfidenceInput(ToolInput):
    confidence: Confidence | None = Field(None, description="certain: no expert is asked")


class HypothesisInput(ToolInput):
    hypothesis: str | None = None


class BacktrackInput(ToolInput):
    backtrack_from_step: Number | None = Field(None, description="= step_number; later steps are dropped")


class ImagesInput(ToolInput):
    images: FileReferences | None = None


class ModelInput(ToolInput):
    model: str | None = None


class AskingInput(ToolInput):
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    thinking_mode: Thinking | None = None
    use_websearch: bool | None = True


class UnaskedInput(StepInput):
    """Of tools that ask no model, for the sake of callers that treat all tools alike."""

    use_assistant_model: bool | None = Field(True, description="No effect")


class UnaskedModelInput(UnaskedInput):
    model: str | None = Field(None, description="No effect")


class UnaskedFindingsInput(FindingsInput):
    relevant_files: FileReferences | None = Field(None, description="Not needed: no model sees them")


class SeverityInput(ToolInput):
    """Of tools whose expert lists issues. It bounds what the expert reports, not what it reads: that the agent rates an
    issue too low is among the things that a second look is for."""

    severity_filter: Literal["critical", "high", "medium", "low", "all"] | None = "all"


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

"""The arguments of consensus."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from exai.tools.files import FileReferences
from exai.tools.panel import Member, Stance
from exai.tools.workflow.input import Number, StepInput


class ConsensusModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str
    stance: Stance | None = "neutral"
    stance_prompt: str | None = None


class ConsensusInput(StepInput):
    step: str = Field(
        description="In step 1 the question, with all it takes to judge it: the models see only this and the files"
    )
    step_number: Number
    total_steps: Number = Field(description="2: the answers first, then the synthesis")
    next_step_required: bool
    findings: str | None = Field(None, description="Your position; only who sums up sees it")
    models: Annotated[list[ConsensusModel], Field(fail_fast=True)] | None = Field(
        None, description="Whom to ask, in step 1"
    )
    relevant_files: FileReferences | None = Field(None, description="File ids, or name and content")
    images: FileReferences | None = None
    use_assistant_model: bool | None = True
    model: str | None = Field(None, description="Sums up")
    current_model_index: Annotated[int, Field(ge=0)] | None = None
    model_responses: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(each.model, each.stance or "neutral", (each.stance_prompt or "").strip())
            for each in self.models or ()
        )

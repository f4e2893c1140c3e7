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
    stance_prompt: str | None = Field(None, description="How to argue, beside the stance.")


class ConsensusInput(StepInput):
    step: str = Field(
        description="Step 1: the question or proposal, with all it takes to judge it; the models see only this and the "
        "files. Later: what you think now."
    )
    step_number: Number
    total_steps: Number = Field(description="1, or 2 to read the answers before the synthesis.")
    next_step_required: bool = Field(description="False: with the synthesis, and done.")
    findings: str | None = Field(None, description="Your own position; only who sums up sees it.")
    models: Annotated[list[ConsensusModel], Field(fail_fast=True)] | None = Field(
        None, description="Step 1: whom to ask, each model once a stance."
    )
    relevant_files: FileReferences | None = Field(
        None, description='Step 1: ids of uploaded files, {"name","content"}, or data: URLs.'
    )
    images: FileReferences | None = Field(None, description="Step 1: named like files.")
    use_assistant_model: bool | None = Field(True, description="Let a model sum up in the last step.")
    model: str | None = Field(None, description="Which one sums up.")
    current_model_index: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Whose answer model_response shows."
    )
    model_responses: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        None, description="Not needed."
    )

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(each.model, each.stance or "neutral", (each.stance_prompt or "").strip())
            for each in self.models or ()
        )

"""The steps of workflow tools, which are only ever added (exai/tools/workflow)."""

import msgspec
from django.db import models
from django.utils import timezone

from conversations.models.conversation import Conversation
from exai.tools.steps import Step


class WorkflowStep(models.Model):
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="steps", db_index=False)
    position = models.PositiveIntegerField(help_text="0, 1, 2, … within the conversation.")
    tool = models.CharField(max_length=64)
    content = models.JSONField()
    call_id = models.UUIDField(unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "workflow_steps"
        ordering = ("conversation", "position")
        constraints = (
            # Also the index that they are read by; and two calls at once cannot both be the next step.
            models.UniqueConstraint(fields=["conversation", "position"], name="workflow_step_position_once"),
        )

    def __str__(self) -> str:
        return f"{self.tool} {self.position}"

    @property
    def step(self) -> Step:
        return msgspec.convert(self.content, Step)

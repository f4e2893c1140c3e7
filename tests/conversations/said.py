"""Conversations as the hot path leaves them, in the tests' own database."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.utils import timezone

from conversations.models import Conversation, Message, Role, WorkflowStep
from exai.models import ApiClient
from exai.tools.steps import Step


def said(
    client: ApiClient, *texts: str, title: str = "A title", used: datetime | None = None, **fields: Any
) -> Conversation:
    """A conversation of these messages, of the user and the model in turn."""
    conversation = Conversation.objects.create(
        client=client, workspace=client.workspace, title=title, updated_at=used or timezone.now(), **fields
    )
    go_on(conversation, texts)
    return conversation


def go_on(conversation: Conversation, texts: Sequence[str], **metadata: Any) -> None:
    begin = conversation.messages.count()
    Message.objects.bulk_create(
        Message(
            conversation=conversation,
            position=position,
            role=Role.USER if position % 2 == 0 else Role.ASSISTANT,
            content=text,
            model="" if position % 2 == 0 else "m",
            provider="" if position % 2 == 0 else "p",
            metadata=metadata,
            idempotency_key=str(position),
        )
        for position, text in enumerate(texts, begin)
    )


def step_taken(conversation: Conversation, tool: str, step: Step) -> None:
    WorkflowStep.objects.create(
        conversation=conversation,
        position=WorkflowStep.objects.filter(conversation=conversation).count(),
        tool=tool,
        content=msgspec.to_builtins(step),
        call_id=uuid.uuid4(),
    )

"""What there is to know of one conversation beside its messages."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from conversations.models import Conversation, ConversationFile, Message, ToolCall, WorkflowStep
from conversations.usage import UsageSum, usage_of_conversation

MOST_FILES = 1_000
_CALLS_A_PAGE = 200


class LinkedFile(NamedTuple):
    id: UUID
    name: str
    mime_type: str
    size_bytes: int
    added_at: datetime


class Facts(NamedTuple):
    """`usage`: sums over the calls of the conversation; costs that nobody knows are in none of them."""

    conversation: Conversation
    turns: int
    messages: int
    steps: int
    usage: UsageSum
    files: list[LinkedFile]


def conversation_facts(conversation: Conversation) -> Facts:
    last = Message.objects.filter(conversation=conversation).order_by("-position").values_list("position", flat=True)
    messages = next((position + 1 for position in last[:1]), 0)
    steps = WorkflowStep.objects.filter(conversation=conversation).order_by("-position")
    return Facts(
        conversation,
        turns=messages // 2,
        messages=messages,
        steps=next((position + 1 for position in steps.values_list("position", flat=True)[:1]), 0),
        usage=usage_of_conversation(conversation.pk),
        files=conversation_files(conversation),
    )


def conversation_files(conversation: Conversation) -> list[LinkedFile]:
    """The files that it uses, in the order in which they came."""
    links = ConversationFile.objects.filter(conversation=conversation).order_by("added_at", "file_id")
    columns = ("file_id", "file__original_name", "file__mime_type", "file__size_bytes", "added_at")
    return [LinkedFile(*row) for row in links.values_list(*columns)[:MOST_FILES]]


def conversation_calls(conversation: Conversation) -> QuerySet[ToolCall]:
    """The calls that added to it, or tried to; the newest first."""
    return ToolCall.objects.filter(conversation=conversation).order_by("-ended_at", "-id")


def every_page_of_calls(conversation: Conversation, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """All of them, by key, so that no cursor must outlive a statement. The columns must hold `ended_at` and `id`."""
    calls = conversation_calls(conversation)
    while page := list(calls.values(*columns)[:_CALLS_A_PAGE]):
        yield page
        last = page[-1]
        calls = conversation_calls(conversation).filter(ended_at__lte=last["ended_at"])
        calls = calls.exclude(ended_at=last["ended_at"], id__gte=last["id"])

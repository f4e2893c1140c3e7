"""What stands on the page of one conversation in the admin."""

from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from conversations.exporting import cost_words
from conversations.facts import conversation_calls, conversation_facts
from conversations.models import Conversation, ConversationDetails, ToolCall
from conversations.selectors import BEYOND, StoredMessage, get_conversation_messages
from conversations.steps import StoredStep, get_newest_steps, step_text, step_title

_MESSAGES = 40
_CALLS = 20
_STEPS = 20
_FOLDED_FROM = 3_000  # characters
_GLIMPSE = 400
_MOST_SHOWN = 200_000  # the export has all


class ShownMessage(NamedTuple):
    """`rest`: what is folded away behind the `beginning`; `left_out`: how many characters are not on the page."""

    message: StoredMessage
    turn: int
    beginning: str
    rest: str
    left_out: int
    length: int
    reasoning: str
    tool: str
    files: list[tuple[str, str]]
    call: ToolCall | None
    cost: str


class ShownStep(NamedTuple):
    """`text` as long as the page shows it; `left_out`: how many characters follow."""

    title: str
    text: str
    left_out: int
    created_at: datetime


def conversation_context(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """`?before=` or `?after=` a position; what is no number counts as absent."""
    before, after = _position(request, "before"), _position(request, "after")
    page = get_conversation_messages(conversation, before=before, after=after, limit=_MESSAGES)
    facts = conversation_facts(conversation)
    calls = list(conversation_calls(conversation)[: _CALLS + 1])
    steps = get_newest_steps(conversation.pk, limit=_STEPS)
    last = page[-1].position if page else 0
    return {
        "conversation": conversation,
        "details": conversation.details,
        "facts": facts,
        "tokens": f"{facts.usage.tokens:,}",
        "cost": cost_words(facts.usage),
        "messages_shown": _shown(conversation, page),
        "older": page[0].position if page and page[0].position else None,
        "newer": last if page and last + 1 < facts.messages else None,
        "steps": [_shown_step(stored) for stored in steps],
        "earlier_steps": steps[0].position if steps else 0,
        "files": [(file, file_url(str(file.id))) for file in facts.files],
        "calls": calls[:_CALLS],
        "more_calls": len(calls) > _CALLS,
        "source": _source(conversation.details, conversation.workspace),
    }


def file_url(file_id: str) -> str:
    """The file's page; empty where there is none."""
    try:
        return reverse("admin:conversations_storedfile_change", args=[file_id])
    except NoReverseMatch:
        return ""


def _shown(conversation: Conversation, page: list[StoredMessage]) -> list[ShownMessage]:
    ids = {message.details.call_id for message in page if message.details.call_id}
    calls = {str(call.pk): call for call in ToolCall.objects.filter(pk__in=ids, conversation=conversation)}
    return [_one(message, calls) for message in page]


def _one(message: StoredMessage, calls: dict[str, ToolCall]) -> ShownMessage:
    details, length = message.details, len(message.content)
    glimpse = length if length <= _FOLDED_FROM else _GLIMPSE
    call = calls.get(details.call_id)
    answered = call if message.role == "assistant" else None
    return ShownMessage(
        message=message,
        turn=message.position // 2 + 1,
        beginning=message.content[:glimpse],
        rest=message.content[glimpse:_MOST_SHOWN],
        left_out=max(0, length - _MOST_SHOWN),
        length=length,
        reasoning=details.reasoning[:_MOST_SHOWN],
        tool=details.tool,
        files=[(file.name, file_url(str(file.id))) for file in details.files],
        call=call,
        cost="" if answered is None else "cost unknown" if answered.cost is None else f"${answered.cost:,.6f}",
    )


def _shown_step(stored: StoredStep) -> ShownStep:
    text = step_text(stored.step)
    return ShownStep(step_title(stored), text[:_FOLDED_FROM], max(0, len(text) - _FOLDED_FROM), stored.created_at)


def _source(details: ConversationDetails, workspace: str) -> Conversation | None:
    if not details.forked_from:
        return None
    return Conversation.objects.filter(continuation_id=details.forked_from, workspace=workspace).first()


def _position(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return min(int(text), BEYOND) if text.isascii() and text.isdigit() and len(text) < 20 else None

"""What the database itself refuses, whoever writes to it."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from conversations.models import CallStatus, Conversation, Message, Role, ToolCall
from exai.access import client_create
from exai.models import ApiClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation() -> Conversation:
    client, _ = client_create(name="agent")
    return Conversation.objects.create(client=client, workspace="agent", title="t")


def _message(conversation: Conversation, **given: object) -> Message:
    fields: dict[str, object] = {"position": 0, "role": Role.USER, "content": "x", "idempotency_key": "a", **given}
    return Message.objects.create(conversation=conversation, **fields)


def test_a_position_and_an_idempotency_key_are_used_once_in_a_conversation(conversation: Conversation) -> None:
    _message(conversation)
    for again in ({"idempotency_key": "b"}, {"position": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            _message(conversation, **again)
    other = Conversation.objects.create(client=conversation.client, workspace="agent", title="t")
    _message(other)


@pytest.mark.parametrize("given", [{"role": "robot"}, {"position": -1}])
def test_an_impossible_message_is_refused(conversation: Conversation, given: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        _message(conversation, **given)


def test_an_unknown_call_status_or_scope_is_refused(conversation: Conversation) -> None:
    now = datetime.now(UTC)
    call = {"client": conversation.client, "workspace": "agent", "tool": "chat", "started_at": now, "ended_at": now}
    ToolCall.objects.create(status=CallStatus.ABANDONED, **call)
    with pytest.raises(IntegrityError), transaction.atomic():
        ToolCall.objects.create(status="running", **call)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClient.objects.update(scopes=["everything"])


def test_a_client_with_conversations_is_not_deleted_so_that_nobody_inherits_them(conversation: Conversation) -> None:
    with pytest.raises(ProtectedError):
        conversation.client.delete()


def test_what_json_columns_hold_is_parsed_by_their_schema(conversation: Conversation) -> None:
    message = _message(conversation, metadata={"tool": "chat", "call_id": "1"})
    assert (message.details.tool, message.details.reasoning) == ("chat", "")
    assert conversation.details.begun_by_tool == ""

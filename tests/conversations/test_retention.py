"""What is kept too long is removed, in batches, and nothing else."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from conversations import services
from conversations.models import CallStatus, Conversation, Message, Role, ToolCall
from conversations.selectors import get_conversation_messages
from conversations.tasks import remove_expired
from exai.access import client_create
from exai.models import ApiClient
from exai.settings.hub import HubSettings, parse

pytestmark = pytest.mark.django_db


@pytest.fixture
def client_of_hub() -> ApiClient:
    return client_create(name="agent")[0]


def _conversation(client: ApiClient, *, days_old: float = 0, messages: int = 0) -> Conversation:
    used = timezone.now() - timedelta(days=days_old)
    conversation = Conversation.objects.create(client=client, workspace=client.workspace, title="t", updated_at=used)
    Message.objects.bulk_create(
        Message(
            conversation=conversation,
            position=position,
            role=Role.USER if position % 2 == 0 else Role.ASSISTANT,
            content=f"message {position}",
            idempotency_key=str(position),
        )
        for position in range(messages)
    )
    return conversation


def _call(client: ApiClient, *, days_old: float, conversation: Conversation | None = None) -> ToolCall:
    ended = timezone.now() - timedelta(days=days_old)
    return ToolCall.objects.create(
        id=uuid.uuid4(),
        client=client,
        workspace=client.workspace,
        conversation=conversation,
        tool="chat",
        status=CallStatus.SUCCEEDED,
        started_at=ended,
        ended_at=ended,
    )


def test_old_conversations_go_with_their_messages_and_young_ones_stay(client_of_hub: ApiClient) -> None:
    old = _conversation(client_of_hub, days_old=31, messages=2)
    young = _conversation(client_of_hub, days_old=29, messages=2)
    call = _call(client_of_hub, days_old=31, conversation=old)
    assert services.conversations_remove_expired(older_than_days=30) == 1
    assert list(Conversation.objects.all()) == [young]
    assert set(Message.objects.values_list("conversation_id", flat=True)) == {young.pk}
    call.refresh_from_db()
    assert call.conversation_id is None


@pytest.mark.django_db(transaction=True)
def test_what_is_continued_meanwhile_is_left_alone_and_holds_up_nothing(client_of_hub: ApiClient) -> None:
    continued = _conversation(client_of_hub, days_old=31, messages=2)
    _conversation(client_of_hub, days_old=31, messages=2)

    def remove() -> int:
        try:
            return services.conversations_remove_expired(older_than_days=30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        Conversation.objects.filter(pk=continued.pk).update(updated_at=timezone.now())
        removing = other.submit(remove)
        assert removing.result(timeout=10) == 1
    assert list(Conversation.objects.all()) == [continued]
    assert continued.messages.count() == 2


def test_more_than_a_batch_is_removed_completely(client_of_hub: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BATCH", 2)
    for _ in range(5):
        _call(client_of_hub, days_old=401)
    kept = _call(client_of_hub, days_old=399)
    assert services.calls_remove_expired(older_than_days=400) == 5
    assert list(ToolCall.objects.all()) == [kept]


@pytest.mark.parametrize(
    ("environment", "conversations", "calls"),
    [
        ({}, 1, 0),
        ({"EXAI_CONVERSATION_RETENTION_DAYS": "30", "EXAI_CALL_RETENTION_DAYS": "0"}, 0, 1),
    ],
)
def test_the_task_removes_what_the_settings_say_and_zero_keeps_for_ever(
    client_of_hub: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    conversations: int,
    calls: int,
) -> None:
    settings: HubSettings = parse(environment)
    monkeypatch.setattr("conversations.tasks.hub_settings", lambda: settings)
    _conversation(client_of_hub, days_old=10_000)
    _call(client_of_hub, days_old=10_000)
    remove_expired()
    assert (Conversation.objects.count(), ToolCall.objects.count()) == (conversations, calls)


def test_messages_are_paged_by_position_newest_page_first_each_oldest_first(client_of_hub: ApiClient) -> None:
    conversation = _conversation(client_of_hub, messages=7)
    _conversation(client_of_hub, messages=7)
    newest = get_conversation_messages(conversation, limit=3)
    older = get_conversation_messages(conversation, before=newest[0].position, limit=3)
    oldest = get_conversation_messages(conversation, before=older[0].position, limit=3)
    assert [[message.position for message in page] for page in (newest, older, oldest)] == [[4, 5, 6], [1, 2, 3], [0]]


def test_a_page_is_read_by_the_index_however_long_the_conversation(client_of_hub: ApiClient) -> None:
    conversation = _conversation(client_of_hub, messages=2_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE messages")
    plan = (
        Message.objects.filter(conversation=conversation, position__lt=1_000)
        .order_by("-position")[:50]
        .explain(analyze=True)
    )
    assert "message_position_once" in plan
    assert "Sort" not in plan

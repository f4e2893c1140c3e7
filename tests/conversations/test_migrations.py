"""Upgrades of a database that conversations were kept in before there were files, a bin and a search."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from conversations.models import Conversation, MessageWords
from conversations.searching import search
from conversations.services import conversation_delete, conversation_restore
from conversations.words import find_words
from exai.access import client_create

_BEFORE = "0003"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before() -> Iterator[None]:
    _migrate(_BEFORE)
    yield
    _migrate()


def _migrate(*to: str) -> None:
    call_command("migrate", "conversations", *to, verbosity=0)


@pytest.mark.usefixtures("before")
def test_what_was_said_before_an_upgrade_is_kept_found_and_deleted_and_survives_the_way_back() -> None:
    client = client_create(name="agent")[0]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata, created_at,"
            " updated_at) VALUES (gen_random_uuid(), %s, 'agent', 'Old title', 'm', '{}', %s, %s)",
            (client.pk, timezone.now(), timezone.now()),
        )
        cursor.execute(
            "INSERT INTO messages (conversation_id, position, role, content, model, provider, metadata,"
            " idempotency_key, created_at) SELECT c.id, p, 'user', 'An ancient word', '', '', '{}', p, c.created_at"
            " FROM conversations c, generate_series(0, 3) p"
        )
    for _ in range(2):
        _migrate()
        assert MessageWords.objects.filter(words__isnull=True).count() == 4
        assert find_words() == 4
        assert [hit.position for hit in search("ancient", workspace="agent").hits] == [3, 2, 1, 0]
        assert [hit.position for hit in search("title", workspace="agent").hits] == [0]
        conversation = Conversation.objects.get()
        assert conversation_delete(conversation=conversation)
        assert conversation_restore(conversation=conversation)
        _migrate(_BEFORE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM messages JOIN conversations c ON c.id = conversation_id")
        assert cursor.fetchone() == (4,)

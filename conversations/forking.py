"""Forking: a conversation of its own that begins as another one did."""

import uuid
from typing import Any, LiteralString

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from conversations.models import Conversation, ConversationDetails, Message, Role
from conversations.services import LONGEST_TITLE
from exai.protocol.errors import InvalidValue

_ENDING = " (fork)"

# One statement, so that it holds what the other one held at one moment. A file that was removed meanwhile is not
# linked; one that is about to be is held until the link is there.
_FORK: LiteralString = """
WITH last AS (
    SELECT position FROM messages WHERE conversation_id = %(source)s AND role = 'assistant'
    ORDER BY position OFFSET %(turns)s - 1 LIMIT 1
), forked AS (
    INSERT INTO conversations
        (continuation_id, client_id, workspace, title, model, metadata, created_at, updated_at)
    SELECT %(continuation_id)s, %(client)s, c.workspace, %(title)s,
        coalesce((SELECT m.model FROM messages m WHERE m.conversation_id = c.id AND m.position = last.position), ''),
        %(details)s::jsonb, %(now)s, %(now)s
    FROM conversations c, last WHERE c.id = %(source)s AND c.deleted_at IS NULL
    RETURNING id
), taken AS (
    INSERT INTO messages
        (conversation_id, position, role, content, model, provider, tokens, metadata, idempotency_key, created_at)
    SELECT forked.id, m.position, m.role, m.content, m.model, m.provider, m.tokens, m.metadata, m.idempotency_key,
        m.created_at
    FROM messages m, forked, last WHERE m.conversation_id = %(source)s AND m.position <= last.position
    RETURNING metadata
), used AS (
    SELECT f.id FROM files f, conversations c
    WHERE c.id = %(source)s AND f.workspace = c.workspace AND f.id IN (
        SELECT (mention ->> 'id')::uuid FROM taken, jsonb_array_elements(
            CASE WHEN jsonb_typeof(taken.metadata -> 'files') = 'array' THEN taken.metadata -> 'files' ELSE '[]' END
        ) mention
    ) FOR KEY SHARE OF f
), linked AS (
    INSERT INTO conversation_files (conversation_id, file_id) SELECT forked.id, used.id FROM forked, used
)
SELECT id FROM forked
"""


@transaction.atomic
def conversation_fork(*, conversation: Conversation, turns: int | None = None, client_id: int) -> Conversation:
    """A new conversation of the client with the first `turns` turns (None: all that are stored), and the files that
    were sent with them. Its client must be of the same workspace. Raises `InvalidValue` when it has not that many.
    """
    stored = Message.objects.filter(conversation=conversation, role=Role.ASSISTANT).count()
    wanted = stored if turns is None else turns
    if not 1 <= wanted <= stored:
        said = "has no turns to take along" if not stored else f"has {stored} turn{'s' if stored > 1 else ''}"
        raise InvalidValue(f"This conversation {said}.", turn=f"from 1 to {stored}" if stored else "none")
    details = ConversationDetails(
        begun_by_tool=conversation.details.begun_by_tool,
        forked_from=str(conversation.continuation_id),
        forked_at_turn=wanted,
    )
    values: dict[str, Any] = {
        "source": conversation.pk,
        "turns": wanted,
        "continuation_id": uuid.uuid4(),
        "client": client_id,
        "title": conversation.title[: LONGEST_TITLE - len(_ENDING)] + _ENDING,
        "details": msgspec.json.encode(details).decode(),
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_FORK, values)
        forked = cursor.fetchone()
    if forked is None:
        raise InvalidValue("This conversation was deleted meanwhile.", continuation_id="deleted")
    return Conversation.objects.select_related("client").get(pk=forked[0])

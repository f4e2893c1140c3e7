"""Reading the messages of a conversation, a page at a time."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import msgspec
from django.db import connection

from conversations.models import Conversation, MessageDetails

MOST_A_PAGE = 500
MOST_BYTES_A_PAGE = 4 * 1024 * 1024
BEYOND = 2**31  # no position is as great

# As rows, since making objects of the ORM takes longer than the query. The bytes are those before a message: a page
# holds one at least.
_PAGE: LiteralString = """
SELECT position, role, content, model, provider, tokens, metadata, created_at FROM (
    SELECT *, sum(octet_length(content) + pg_column_size(metadata)) OVER (ORDER BY position {order} ROWS UNBOUNDED
        PRECEDING) - octet_length(content) - pg_column_size(metadata) AS bytes_before
    FROM (
        SELECT position, role, content, model, provider, tokens, metadata, created_at FROM messages
        WHERE conversation_id = %s AND position {beyond} %s ORDER BY position {order} LIMIT %s
    ) next
) page WHERE bytes_before < %s ORDER BY position
"""
_OLDER = _PAGE.format(order="DESC", beyond="<")
_NEWER = _PAGE.format(order="ASC", beyond=">")


class StoredMessage(NamedTuple):
    """A message as it is read. `metadata`: JSON; `details` parses it."""

    position: int
    role: str
    content: str
    model: str
    provider: str
    tokens: int | None
    metadata: str
    created_at: datetime

    @property
    def details(self) -> MessageDetails:
        return msgspec.json.decode(self.metadata, type=MessageDetails)


def get_conversation_messages(
    conversation: Conversation | int, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> list[StoredMessage]:
    """A page of messages, oldest first: the newest of the conversation, the newest before a position, or the oldest
    after one. It ends early where it holds 4 MiB.

    The next older page is that before the first message's position, the next newer one that after the last's. Read by
    the index over (conversation, position), so that a page costs the same however much there is.
    """
    id_ = conversation if isinstance(conversation, int) else conversation.pk
    limit = max(1, min(limit, MOST_A_PAGE))
    if after is not None:
        return _page(_NEWER, (id_, after, limit, MOST_BYTES_A_PAGE))
    return _page(_OLDER, (id_, BEYOND if before is None else before, limit, MOST_BYTES_A_PAGE))


def every_page(conversation_id: int, *, limit: int = 50) -> Iterator[list[StoredMessage]]:
    """All messages, oldest first, by pages: of messages that are added meanwhile, too."""
    last = -1
    while page := get_conversation_messages(conversation_id, after=last, limit=limit):
        yield page
        last = page[-1].position


def _page(statement: LiteralString, values: tuple[Any, ...]) -> list[StoredMessage]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [StoredMessage(*row) for row in cursor.fetchall()]

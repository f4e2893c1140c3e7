"""A database of many messages, made by SQL: a huge workspace and a small one beside it, words as rare and as common as
those of a language (Zipf), one long conversation and many short ones."""

from typing import LiteralString

import psycopg
from psycopg import sql

HUGE, SMALL = "huge", "small"
LONG = 20  # the long conversation has one in so many of all messages
SHORT = 20  # messages of every other conversation
WORDS = 50_000
_SENTENCES = 8192
_BATCH = 500_000  # messages a statement

_CLIENTS: LiteralString = """
INSERT INTO clients (name, workspace, token_hash, token_start, scopes, enabled, created_at)
SELECT name, name, name, name, '{}', true, now() FROM unnest(%s::text[]) name
"""
_CONVERSATIONS: LiteralString = """
INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata, created_at, updated_at)
SELECT gen_random_uuid(), clients.id, clients.workspace, 'Conversation ' || number, 'm', '{}', now(),
    now() - number * interval '1 second'
FROM generate_series(1, %s) number
JOIN clients ON clients.workspace = CASE WHEN number %% 1000 = 7 THEN 'small' ELSE 'huge' END
"""
# Each word is as frequent as 1 by its number. The part with 0 makes each sentence another one.
_MAKE_SENTENCES: LiteralString = """
CREATE TABLE sentences AS SELECT number::bigint AS id, (
    SELECT string_agg('w' || floor(exp(random() * ln(%s::float8) + 0 * (number + word)))::int, ' ')
    FROM generate_series(1, 12) word
) AS text FROM generate_series(0, %s - 1) number
"""
_MESSAGES: LiteralString = """
INSERT INTO messages
    (conversation_id, position, role, content, model, provider, tokens, metadata, idempotency_key, created_at)
SELECT place.conversation, place.position, CASE WHEN place.position %% 2 = 0 THEN 'user' ELSE 'assistant' END,
    concat_ws(E'\\n', 'only' || place.number, one.text, two.text, three.text), '', '', 10, '{}', place.position, now()
FROM (
    SELECT number,
        first + CASE WHEN number < %(long)s THEN 0 ELSE 1 + (number - %(long)s) / %(short)s END AS conversation,
        CASE WHEN number < %(long)s THEN number ELSE (number - %(long)s) %% %(short)s END AS position,
        hashint8(number) & %(mask)s AS one, (hashint8(number) >> 13) & %(mask)s AS two,
        hashint8(number + 1000000000) & %(mask)s AS three
    FROM generate_series(%(from)s::bigint, %(to)s::bigint - 1) number,
        (SELECT min(id) AS first FROM conversations) begin
    ORDER BY number
) place
JOIN sentences one ON one.id = place.one JOIN sentences two ON two.id = place.two
JOIN sentences three ON three.id = place.three
"""
_WORDS: LiteralString = """
INSERT INTO message_words (message_id, workspace, words)
SELECT m.id, c.workspace, array_to_tsvector(ARRAY[' ' || c.workspace, ' #' || (m.id >> 15)]) || words_of(m.content)
FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE m.id > %s AND m.id <= %s
"""


def make_messages(database: psycopg.Connection, count: int, *, with_words: bool) -> None:
    """So many messages. The connection commits by itself. What is slow row by row, indexes and triggers, is made after
    them. `with_words` False leaves the search without words: it takes most of the time."""
    long = count // LONG
    database.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '128MB'")
    database.execute("ALTER TABLE messages DISABLE TRIGGER USER")
    indexes = _drop_indexes(database, "message_words_found", "message_words_due", "message_words_newest")
    database.execute(_CLIENTS, ([HUGE, SMALL],))
    database.execute(_CONVERSATIONS, (1 + -(-(count - long) // SHORT),))
    database.execute(_MAKE_SENTENCES, (WORDS, _SENTENCES))
    database.execute("ANALYZE sentences, conversations")
    for begin in range(0, count, _BATCH):
        end = min(begin + _BATCH, count)
        values = {"from": begin, "to": end, "long": long, "short": SHORT, "mask": _SENTENCES - 1}
        database.execute(_MESSAGES, values)
    if with_words:
        ((last,),) = database.execute("SELECT max(id) FROM messages").fetchall()
        for begin in range(0, last, _BATCH):
            database.execute(_WORDS, (begin, begin + _BATCH))
    for definition in indexes:
        database.execute(definition)
    database.execute("ALTER TABLE messages ENABLE TRIGGER USER")
    database.execute("ANALYZE messages, message_words, conversations")


def _drop_indexes(database: psycopg.Connection, *names: str) -> list[sql.SQL]:
    """How to make them again."""
    found = database.execute("SELECT indexdef FROM pg_indexes WHERE indexname = ANY(%s)", (list(names),)).fetchall()
    for name in names:
        database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [sql.SQL(definition) for (definition,) in found]

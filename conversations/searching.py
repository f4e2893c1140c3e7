"""Full-text search over titles and messages, newest first.

Two ways to find, since no index does both: what most messages hold is met soon when the newest are read one after
another, and what few hold is found by the GIN index over words. So a bounded number of the newest is read first, and
the index asked for the rest: for the span of the newest 32,768 to 65,536 messages, and then for all, so that not every
match is fetched for a page of them. The workspace is a word of its own in what is indexed, so that a small workspace
costs nothing of a huge one beside it.

The syntax is that of web searches, https://www.postgresql.org/docs/current/textsearch-controls.html: all words must be
there, `or`, `-word`, `"a phrase"`; and `word*` for words that begin so, from three letters on. Any text is valid.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from exai.protocol.errors import InvalidValue

MOST_A_PAGE = 100
LONGEST_QUERY = 400  # characters; what follows is left out
PATIENCE_MS = 2_000
_READ_THROUGH = 2_000  # of the newest messages
_BEYOND = 2**63 - 1
_SPAN_BITS = 15  # of message ids, as words_of_message() has it (migration 0008)
_PIECE, _BEFORE = 300, 100  # characters of a snippet, and of those before the match

_BEGINNING = re.compile(r"(?<!\S)(-?)([^\W_]{3,})\*(?!\S)")
# As words_of() parts words (migration 0008); a minus before a word is an operator.
_PARTING = re.compile(r"[_./:@\\#=+&?%~<>\x00-\x1f\x7f]|(?<=\S)-|-(?=\s|$)")
_ALNUM = r"[^\W_]"
_WORD = re.compile(r"[^\W_]+")

_COMPILE: LiteralString = """
SELECT query::text, numnode(query) FROM (
    SELECT websearch_to_tsquery('pg_catalog.simple', %s) && to_tsquery('pg_catalog.simple', %s) AS query
) compiled
"""
_HIT: LiteralString = """
CROSS JOIN LATERAL (
    SELECT c.continuation_id, c.title, c.workspace, m.position, m.role, m.created_at,
        substr(m.content, greatest(1, place - %(before_it)s), %(piece)s) AS piece, place > %(before_it)s + 1 AS cut
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
        CROSS JOIN LATERAL regexp_instr(left(m.content, 65536), %(words)s, 1, 1, 0, 'i') AS place
    WHERE m.id = found.message_id AND (c.deleted_at IS NOT NULL) = %(in_bin)s
        AND (%(client)s::bigint IS NULL OR c.client_id = %(client)s)
    OFFSET 0
) hit
ORDER BY found.message_id DESC
LIMIT %(limit)s
"""
_COLUMNS: LiteralString = "SELECT found.message_id, hit.* FROM"
_NEWEST_ONES: LiteralString = """
    SELECT message_id, words FROM message_words
    WHERE workspace = %(workspace)s AND message_id < %(before)s ORDER BY message_id DESC LIMIT %(newest)s
"""
_NEWEST_ANYWHERE: LiteralString = """
    SELECT message_id, words FROM message_words
    WHERE message_id < %(before)s ORDER BY message_id DESC LIMIT %(newest)s
"""
_AMONG_NEWEST: LiteralString = """ (
    SELECT message_id FROM ({newest}) newest
    WHERE coalesce(words, words_of_message(message_id)) @@ %(query)s::tsquery ORDER BY message_id DESC
) found """
_LAST_ONE: LiteralString = """
SELECT max(message_id) FROM message_words
WHERE (%(workspace)s::text IS NULL OR workspace = %(workspace)s) AND message_id < %(before)s
"""
_BY_INDEX: LiteralString = """
WITH every AS MATERIALIZED (SELECT message_id FROM message_words WHERE words @@ %(query_there)s::tsquery)
"""
_INDEXED_AND_DUE: LiteralString = """ (
    SELECT message_id FROM every WHERE message_id < %(before)s
    UNION ALL
    SELECT message_id FROM ({newest}) newest
    WHERE words IS NULL AND words_of_message(message_id) @@ %(query)s::tsquery
    ORDER BY message_id DESC
) found """


class SearchTooBroad(InvalidValue):
    """The search took too long."""

    def __init__(self) -> None:
        super().__init__(
            f"This search took longer than {PATIENCE_MS / 1000:g} seconds: too many messages hold some of these words,"
            " and too few all of them. Ask for fewer or rarer words.",
            q="too broad",
        )


class Hit(NamedTuple):
    """A message that was found. `snippet`: pieces of text, and whether each is a word that was asked for."""

    message_id: int
    continuation_id: UUID
    title: str
    workspace: str
    position: int
    role: str
    created_at: datetime
    snippet: tuple[tuple[str, bool], ...]


class Found(NamedTuple):
    hits: list[Hit]
    before: int | None
    """Of the next, older page; None: there is none."""


def search(
    asked: str,
    *,
    workspace: str | None,
    client_id: int | None = None,
    in_bin: bool = False,
    before: int | None = None,
    limit: int = 20,
) -> Found:
    """A page of the messages that hold these words, newest first, of conversations in the bin or of all others.

    `workspace` None searches all of them: for operators alone. `before` comes from the page before.
    Raises `SearchTooBroad`.
    """
    limit = max(1, min(limit, MOST_A_PAGE))
    try:
        with transaction.atomic():
            chosen = {"workspace": workspace, "client": client_id, "in_bin": in_bin}
            rows = _rows(asked, chosen, _BEYOND if before is None else before, limit + 1)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise SearchTooBroad from None
        raise
    marks = re.compile(f"(?<!{_ALNUM})(?:{_alternatives(asked, _ALNUM)})", re.IGNORECASE)
    hits = [_hit(row, marks) for row in rows[:limit]]
    return Found(hits, hits[-1].message_id if len(rows) > limit else None)


def _rows(asked: str, chosen: dict[str, Any], before: int, limit: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        # To compile a plan takes longer than to carry it out.
        cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE_MS:d}; SET LOCAL jit = off")
        cursor.execute(_COMPILE, _parted(asked))
        query, nodes = cursor.fetchone()
        if not nodes:
            return []
        values = {
            **chosen,
            "query": query,
            "before": before,
            "newest": _READ_THROUGH,
            "limit": limit,
            "words": f"(^|[^[:alnum:]])({_alternatives(asked, '[[:alnum:]]')})",
            "before_it": _BEFORE,
            "piece": _PIECE,
        }
        newest = _NEWEST_ANYWHERE if chosen["workspace"] is None else _NEWEST_ONES
        cursor.execute(_COLUMNS + _AMONG_NEWEST.format(newest=newest) + _HIT, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        if len(rows) >= limit:
            return rows
        # Planned as many sorted by an index, or as a table read whole, it could take seconds.
        cursor.execute("SET LOCAL enable_seqscan = off")
        statement = _BY_INDEX + _COLUMNS + _INDEXED_AND_DUE.format(newest=newest) + _HIT
        # What is due lies among the newest, so whatever a narrowing leaves out is older than what it finds.
        for there in _narrowings(cursor, values):
            cursor.execute(statement, {**values, "query_there": f"{there}({query})"})
            rows = cursor.fetchall()
            if len(rows) >= limit:
                break
        return rows


def _narrowings(cursor: Any, values: dict[str, Any]) -> Iterator[str]:
    """What is asked of the index beside the words: first the workspace's newest span of messages, then all of it."""
    workspace = "" if values["workspace"] is None else f"'{_quoted(' ' + values['workspace'])}' & "
    cursor.execute(_LAST_ONE, values)
    (last,) = cursor.fetchone()
    if last is None:
        return
    span = last >> _SPAN_BITS
    if span > 1:
        yield f"{workspace}(' #{span}' | ' #{span - 1}') & "
    yield workspace


def _parted(asked: str) -> tuple[str, str]:
    """What is looked for, in the syntax of websearch_to_tsquery, and beginnings in that of to_tsquery."""
    asked = _readable(asked)
    beginnings = [f"{'!' if minus else ''}{word}:*" for minus, word in _BEGINNING.findall(asked)]
    return _PARTING.sub(" ", _BEGINNING.sub(" ", asked)), " & ".join(beginnings)


def _alternatives(asked: str, alnum: str) -> str:
    """The words that are to be found, as alternatives of a regular expression whose class of letters and digits is
    `alnum`; when all are negated, one that matches nothing."""
    asked = _readable(asked)
    beginnings = [f"{word}{alnum}*" for minus, word in _BEGINNING.findall(asked) if not minus]
    rest = re.sub(r'(?<!\S)-("[^"]*"?|\S+)', " ", _BEGINNING.sub(" ", asked))
    words = [f"{word}(?!{alnum})" for word in _WORD.findall(rest) if word.lower() != "or"]
    return "|".join([*beginnings, *words]) or r"(?!)"


def _readable(asked: str) -> str:
    # NUL cannot be sent to PostgreSQL, nor half of a character.
    return asked[:LONGEST_QUERY].replace("\x00", " ").encode("utf-8", "replace").decode()


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "''")


def _hit(row: tuple[Any, ...], marks: re.Pattern[str]) -> Hit:
    *known, piece, cut = row
    return Hit._make([*known, _snippet(piece, cut, marks)])


def _snippet(piece: str, cut: bool, marks: re.Pattern[str]) -> tuple[tuple[str, bool], ...]:
    text = ("… " if cut else "") + " ".join(piece.split())
    pieces, last = [], 0
    for match in marks.finditer(text):
        pieces += [(text[last : match.start()], False), (match.group(), True)]
        last = match.end()
    pieces.append((text[last:], False))
    return tuple(piece for piece in pieces if piece[0])

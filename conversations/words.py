"""Finds out the words of messages, for the full-text search.

Not in the statement that writes a turn: there it took 0.2 ms for 75 words and 3 ms for 2,000, and every few hundred
turns half a second, when the index puts its pending list in order. A turn only notes its messages (0.03 ms).
"""

import time
from typing import LiteralString

from django.db import connection, transaction

BATCH = 200  # messages a transaction: short locks, and nothing lost when it is interrupted
LONGEST_RUN_S = 4.0  # the clock calls again soon; a backlog must not keep other work waiting

# The newest first: they are what is looked for. Rows that are about to be removed are passed over.
_FIND: LiteralString = """
UPDATE message_words SET words = coalesce(words_of_message(due.message_id), '')
FROM (
    SELECT message_id FROM message_words WHERE words IS NULL ORDER BY message_id DESC LIMIT %s FOR UPDATE SKIP LOCKED
) due
WHERE message_words.message_id = due.message_id
"""


def find_words(*, longest_s: float = LONGEST_RUN_S) -> int:
    """Of all messages where that is due, or as many as the time allows. How many. Several may run at once."""
    give_up_at = time.monotonic() + longest_s
    total = 0
    found: int = BATCH
    while found == BATCH and time.monotonic() < give_up_at:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_FIND, (BATCH,))
            found = cursor.rowcount
        total += found
    if total:
        with connection.cursor() as cursor:
            # Else every search reads through what was added last.
            cursor.execute("SELECT gin_clean_pending_list('message_words_found')")
    return total

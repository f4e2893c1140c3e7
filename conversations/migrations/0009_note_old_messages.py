from typing import Any

from django.db import migrations, models

_BATCH = 20_000  # messages a transaction: short locks, and nothing lost when it is interrupted

_END = "SELECT max(id) FROM (SELECT id FROM messages WHERE id > %s ORDER BY id LIMIT %s) batch"
_NOTE = """
INSERT INTO message_words (message_id, workspace)
SELECT m.id, c.workspace FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.id > %s AND m.id <= %s
ON CONFLICT (message_id) DO NOTHING
"""


def _note(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        last = 0
        while True:
            cursor.execute(_END, (last, _BATCH))
            (end,) = cursor.fetchone()
            if end is None:
                return
            cursor.execute(_NOTE, (last, end))
            last = end


class Migration(migrations.Migration):
    """Without a transaction around it: no table is locked for long, and after an interruption it goes on. The worker
    finds the words of what is noted, in the background."""

    atomic = False

    dependencies = [
        ("conversations", "0008_words_of_messages"),
    ]

    operations = [
        migrations.RunPython(_note, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                # One that an interrupted try left behind is invalid.
                migrations.RunSQL(
                    [
                        "DROP INDEX CONCURRENTLY IF EXISTS conversation_in_bin",
                        "CREATE INDEX CONCURRENTLY conversation_in_bin ON conversations (deleted_at)"
                        " WHERE deleted_at IS NOT NULL",
                    ],
                    ["DROP INDEX CONCURRENTLY IF EXISTS conversation_in_bin"],
                ),
            ],
            state_operations=[
                migrations.AddIndex(
                    model_name="conversation",
                    index=models.Index(
                        condition=models.Q(("deleted_at__isnull", False)),
                        fields=["deleted_at"],
                        name="conversation_in_bin",
                    ),
                ),
            ],
        ),
    ]

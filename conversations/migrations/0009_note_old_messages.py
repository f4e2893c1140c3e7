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


def _concurrently(name: str, what: str) -> migrations.RunSQL:
    """An index that no turn waits for. One that an interrupted try left behind is invalid, and made anew."""
    return migrations.RunSQL(
        [f"DROP INDEX CONCURRENTLY IF EXISTS {name}", f"CREATE INDEX CONCURRENTLY {name} ON conversations {what}"],
        [f"DROP INDEX CONCURRENTLY IF EXISTS {name}"],
    )


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
                _concurrently("conversation_in_bin", "(deleted_at) WHERE deleted_at IS NOT NULL"),
                _concurrently("conversation_by_use", "(workspace, updated_at DESC NULLS LAST, id DESC)"),
                migrations.RunSQL(
                    "DROP INDEX CONCURRENTLY IF EXISTS conversation_by_workspace",
                    "CREATE INDEX CONCURRENTLY conversation_by_workspace ON conversations (workspace, updated_at DESC)",
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
                migrations.RemoveIndex(model_name="conversation", name="conversation_by_workspace"),
                migrations.AddIndex(
                    model_name="conversation",
                    index=models.Index(
                        models.F("workspace"),
                        models.OrderBy(models.F("updated_at"), descending=True, nulls_last=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="conversation_by_use",
                    ),
                ),
            ],
        ),
    ]

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# Punctuation parts words, so that `hub` is found in `exai/settings/hub.py` and in `hub_settings`; and so that no word is
# counted several times over, as PostgreSQL's parser does for paths and compounds: 65,536 characters are then some 500 KB
# of words at most, below the 1 MB that a tsvector may take. Should it be more after all, a quarter has to do.
# https://www.postgresql.org/docs/current/textsearch-limitations.html
_FUNCTIONS = r"""
CREATE FUNCTION words_of(content text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parted text := translate(left(content, 65536), '-_./:@\#=+&?%~<>', '                ');
BEGIN
    RETURN to_tsvector('pg_catalog.simple', parted);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('pg_catalog.simple', left(parted, 16384));
END $$;

-- The workspace is a word, and so is the span of 32,768 messages that it is one of. No text can hold these: words have
-- no spaces.
CREATE FUNCTION words_of_message(message bigint) RETURNS tsvector LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(ARRAY[' ' || c.workspace, ' #' || (m.id >> 15)]) || words_of(m.content)
        || CASE WHEN m.position = 0 THEN words_of(c.title) ELSE '' END
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.id = message
$$;

CREATE FUNCTION message_words_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO message_words (message_id, workspace)
    SELECT m.id, c.workspace FROM changed m JOIN conversations c ON c.id = m.conversation_id
    ON CONFLICT (message_id) DO UPDATE SET words = NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION message_words_remove() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM message_words USING removed WHERE message_words.message_id = removed.id;
    RETURN NULL;
END $$;

CREATE FUNCTION message_words_retitle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE message_words SET words = NULL
    FROM messages m WHERE m.conversation_id = NEW.id AND m.position = 0 AND message_words.message_id = m.id;
    RETURN NULL;
END $$;

CREATE TRIGGER message_words_added AFTER INSERT ON messages REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION message_words_note();
CREATE TRIGGER message_words_changed AFTER UPDATE ON messages REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION message_words_note();
CREATE TRIGGER message_words_removed AFTER DELETE ON messages REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION message_words_remove();
CREATE TRIGGER message_words_retitled AFTER UPDATE OF title ON conversations
    FOR EACH ROW WHEN (OLD.title IS DISTINCT FROM NEW.title) EXECUTE FUNCTION message_words_retitle();
"""
_NO_FUNCTIONS = """
DROP TRIGGER message_words_retitled ON conversations;
DROP TRIGGER message_words_removed ON messages;
DROP TRIGGER message_words_changed ON messages;
DROP TRIGGER message_words_added ON messages;
DROP FUNCTION message_words_retitle, message_words_remove, message_words_note, words_of_message, words_of;
"""


class Migration(migrations.Migration):
    """From here on every message is noted as it is written; 0009 notes those that there are."""

    dependencies = [
        ("conversations", "0007_reading_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="MessageWords",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="words",
                        serialize=False,
                        to="conversations.message",
                    ),
                ),
                ("workspace", models.CharField(max_length=64)),
                (
                    "words",
                    django.contrib.postgres.search.SearchVectorField(help_text="Empty: not found out yet.", null=True),
                ),
            ],
            options={
                "db_table": "message_words",
                "indexes": [
                    models.Index(fields=["workspace", "message"], name="message_words_newest"),
                    models.Index(
                        condition=models.Q(("words__isnull", True)), fields=["message"], name="message_words_due"
                    ),
                    django.contrib.postgres.indexes.GinIndex(
                        condition=models.Q(("words__isnull", False)), fields=["words"], name="message_words_found"
                    ),
                ],
            },
        ),
        migrations.RunSQL(_FUNCTIONS, _NO_FUNCTIONS),
    ]

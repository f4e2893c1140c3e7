from django.db import migrations

_ADD = """
ALTER TABLE conversation_files
    ADD CONSTRAINT conversation_file_of_conversation FOREIGN KEY (conversation_id)
        REFERENCES conversations (id) ON DELETE CASCADE,
    ADD CONSTRAINT conversation_file_of_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE;
ALTER TABLE file_readings
    ADD CONSTRAINT file_reading_of_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE;
"""
_DROP = """
ALTER TABLE conversation_files
    DROP CONSTRAINT conversation_file_of_conversation,
    DROP CONSTRAINT conversation_file_of_file;
ALTER TABLE file_readings DROP CONSTRAINT file_reading_of_file;
"""


class Migration(migrations.Migration):
    """Checked at once, not at the end of a transaction, and removed by the database itself: rows are removed by SQL."""

    dependencies = [
        ("conversations", "0004_files_and_the_bin"),
    ]

    operations = [
        migrations.RunSQL(_ADD, _DROP),
    ]

"""Every statement that changes a provider table marks the state as new, whoever runs it: the admin, a command, SQL."""

from django.db import migrations

TABLES = ("provider_endpoints", "provider_models", "model_prices", "model_routes")

FUNCTION = """
CREATE FUNCTION provider_revision_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO provider_revision (id, revision) VALUES (1, pg_current_xact_id()::text::bigint)
    ON CONFLICT (id) DO UPDATE SET revision = EXCLUDED.revision;
    RETURN NULL;
END
$$;
"""

TRIGGER = """
CREATE TRIGGER provider_revision_new AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION provider_revision_new();
"""


class Migration(migrations.Migration):
    dependencies = [("exai", "0003_provider_tables")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION provider_revision_new();"),
        *(
            migrations.RunSQL(TRIGGER.format(table=table), f"DROP TRIGGER provider_revision_new ON {table};")
            for table in TABLES
        ),
    ]

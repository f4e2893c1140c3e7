from django.db import migrations, models


class Migration(migrations.Migration):
    """What fits a model's context is known without the texts."""

    dependencies = [
        ("conversations", "0006_file_functions"),
    ]

    operations = [
        migrations.AddField(
            model_name="filereading",
            name="tokens",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="An estimate for the text as a model is sent it."
            ),
        ),
    ]

"""manage.py settings_table: the documentation of the settings, printed or written to README.md and .env.example."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exai.settings.documentation import MarkersMissing, env_example, settings_table, write


class Command(BaseCommand):
    help = "Print every setting as README.md and .env.example have it, or bring those two files up to date."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", action="store_true", help="change README.md and .env.example")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["write"]:
            self.stdout.write(f"{settings_table()}\n\n{env_example()}", ending="")
            return
        try:
            changed = write()
        except MarkersMissing as error:
            raise CommandError(str(error)) from None
        self.stdout.write("\n".join(f"Changed {path.name}" for path in changed) or "Both are up to date.")

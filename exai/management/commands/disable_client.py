"""manage.py disable_client: a client may no longer connect."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from exai.access import client_set_enabled
from exai.management.client_argument import add_client_argument, named_client


class Command(BaseCommand):
    help = "Disable a client; its connections are closed within a second. --enable undoes it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_client_argument(parser)
        parser.add_argument("--enable", action="store_true", help="enable it again")

    def handle(self, *args: Any, **options: Any) -> None:
        client = named_client(options["name"])
        client_set_enabled(client=client, enabled=options["enable"])
        self.stdout.write(f"{client.name} is {'enabled' if options['enable'] else 'disabled'}.")

"""manage.py rotate_token: a new token for a client, shown once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exai.access import AccessError, client_rotate_token
from exai.management.client_argument import add_client_argument, named_client


class Command(BaseCommand):
    help = "Give a client a new token and print it, once. The old one is refused from now on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_client_argument(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        client = named_client(options["name"])
        try:
            token = client_rotate_token(client=client)
        except AccessError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"name": client.name, "token": token}))
        else:
            self.stdout.write(f"Token of {client.name}: {token}")
            self.stdout.write("Keep it now: it cannot be shown again.")

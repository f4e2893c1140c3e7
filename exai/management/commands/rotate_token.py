"""manage.py rotate_token: a new token for a client, shown once."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exai.access import AccessError, client_rotate_token, token_hash
from exai.embedded.private_file import write_privately
from exai.management.client_argument import add_client_argument, named_client
from exai.settings.hub import hub_settings


class Command(BaseCommand):
    help = "Give a client a new token and print it, once. The old one is refused from now on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_client_argument(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        client = named_client(options["name"])
        old_hash = client.token_hash
        try:
            token = client_rotate_token(client=client)
        except AccessError as error:
            raise CommandError(str(error)) from None
        token_file = self._bring_up_to_date(hub_settings().token_file, old_hash, token)
        if options["json"]:
            written = {"token_file": str(token_file)} if token_file else {}
            self.stdout.write(json.dumps({"name": client.name, "token": token, **written}))
        else:
            self.stdout.write(f"Token of {client.name}: {token}")
            if token_file:
                self.stdout.write(f"It is also written to {token_file}, where the old one was.")
            self.stdout.write("Keep it now: it cannot be shown again.")

    def _bring_up_to_date(self, token_file: Path, old_hash: str, token: str) -> Path | None:
        """The file that `manage.py call` reads, when it held the old token and holds the new one now."""
        try:
            if token_hash(token_file.read_text().strip()) != old_hash:
                return None
        except (OSError, UnicodeDecodeError):
            return None
        try:
            write_privately(token_file, token)
        except OSError as error:
            # The token is in force already, so it is shown all the same.
            self.stderr.write(f"{token_file} still holds the old token: it cannot be written ({error.strerror}).")
            return None
        return token_file

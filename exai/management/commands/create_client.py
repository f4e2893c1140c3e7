"""manage.py create_client: a new client, its token shown once."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exai.access import AccessError, client_create
from exai.models import ApiClient, Scope, ToolProfile
from exai.tools.profiles import unknown_tools


def _date(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _tools(text: str) -> list[str]:
    names = _words(text)
    if unknown := unknown_tools(names):
        raise ArgumentTypeError(f"no tools: {', '.join(unknown)}")
    return names


class Command(BaseCommand):
    help = "Make a client and print its token, once. The token is not stored and cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="lower-case letters, digits, dots, - and _")
        parser.add_argument("--workspace", help="share this workspace; by default the client gets its own")
        parser.add_argument(
            "--scopes", help=f"separated by commas, of {', '.join(Scope.values)}; by default tools,files"
        )
        parser.add_argument("--expires", type=_date, metavar="DATE", help="ISO 8601; UTC unless it says otherwise")
        parser.add_argument(
            "--profile",
            choices=ToolProfile.values,
            default=ToolProfile.STANDARD.value,
            help="the tools that it is shown and may call (%(default)s)",
        )
        parser.add_argument("--allow", type=_tools, default=[], metavar="TOOLS", help="beside those; with commas")
        parser.add_argument("--deny", type=_tools, default=[], metavar="TOOLS", help="not these; with commas")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = options["scopes"]
        try:
            client, token = client_create(
                name=options["name"],
                workspace=options["workspace"],
                scopes=None if scopes is None else _words(scopes),
                expires_at=options["expires"],
                tool_profile=options["profile"],
                tools_allowed=options["allow"],
                tools_denied=options["deny"],
            )
        except AccessError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            described = {"name": client.name, "token": token, "workspace": client.workspace, "scopes": client.scopes}
            self.stdout.write(json.dumps(described))
            return
        self.stdout.write(f"Client     {client.name}")
        self.stdout.write(f"Workspace  {client.workspace}")
        self.stdout.write(f"Scopes     {', '.join(client.scopes) or 'none'}")
        self.stdout.write(f"Tools      {_described_tools(client)}")
        self.stdout.write(f"Token      {token}")
        self.stdout.write("Keep the token now: it cannot be shown again (a new one: manage.py rotate_token).")


def _described_tools(client: ApiClient) -> str:
    lists = [("and", client.tools_allowed), ("without", client.tools_denied)]
    return ", ".join([client.tool_profile, *(f"{how} {' '.join(names)}" for how, names in lists if names)])

"""manage.py delete_workspace: removes all that a workspace keeps."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations.files.blobs import hub_blobs
from conversations.files.vendor_removal import ConfiguredVendors
from conversations.workspaces import WorkspaceContents, workspace_contents, workspace_remove
from exai.access import ENVIRONMENT_CLIENT, client_set_enabled
from exai.models import ApiClient
from exai.settings.hub import hub_settings


class Command(BaseCommand):
    help = (
        "Remove a workspace's conversations, messages, files and bytes for good. Its clients are disabled, and the "
        "records of their calls stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("workspace")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="print one JSON object; needs --yes")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = options["workspace"]
        clients = list(ApiClient.objects.filter(workspace=workspace))
        there = workspace_contents(workspace=workspace)
        if not clients and not any(there):
            raise CommandError(f"There is no workspace {workspace!r}.")
        if not options["yes"]:
            if options["json"]:
                raise CommandError("--json asks nothing: add --yes.")
            names = ", ".join(client.name for client in clients) or "none"
            self.stdout.write(f"To be removed for good: {_words(there)}. To be disabled: clients {names}.")
            if input("Type the workspace's name to go on: ").strip() != workspace:
                raise CommandError("Nothing was removed.")
        # First, so that nothing new comes while it is removed: their connections are closed within a second.
        enabled = [client for client in clients if client.enabled]
        for client in enabled:
            client_set_enabled(client=client, enabled=False)
        removed = workspace_remove(workspace=workspace, blobs=hub_blobs(), vendors=ConfiguredVendors(hub_settings()))
        if options["json"]:
            disabled = [client.name for client in enabled]
            self.stdout.write(json.dumps({"workspace": workspace, "disabled": disabled, **removed._asdict()}))
            return
        self.stdout.write(f"Removed: {_words(removed)}.")
        for client in enabled:
            self.stdout.write(f"Disabled: {client.name}. Calls that it has under way may still add to the workspace.")
            if client.name == ENVIRONMENT_CLIENT:
                self.stdout.write("It is enabled again at the next start while EXAI_WS_TOKEN is set.")


def _words(contents: WorkspaceContents) -> str:
    return (
        f"{contents.conversations} conversations, {contents.messages} messages, {contents.files} files of "
        f"{contents.bytes:,} bytes, {contents.vendor_copies} copies at vendors"
    )

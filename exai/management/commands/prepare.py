"""Brings the database up to this version, and on the first run makes an administrator and a client.

The supervisor runs it before anything serves. Where the hub's processes are started by other means, run it by hand.
"""

import argparse
import json
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from exai.access import AccessError, environment_client_update
from exai.embedded.places import make_data_dir
from exai.first_run import first_accounts_create
from exai.settings.hub import HubSettings, hub_settings
from exai.supervisor.announce import announce_accounts
from exai.supervisor.console import Console
from exai.supervisor.credentials import Prepared
from exai.supervisor.exit_codes import HubError
from exai.supervisor.preparation import told
from exai.supervisor.secret_key import ensure_secret_key

_LOCK = 0x45584149_0002  # an advisory lock: hubs on several machines may start at once


class Command(BaseCommand):
    help = "Migrates the database; on the first run makes an administrator and a client."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--report-fd", type=int, help="Where to write what was made, as JSON; for the supervisor.")

    def handle(self, *args: Any, report_fd: int | None, **options: Any) -> None:
        settings = hub_settings()
        try:
            prepared = _prepare(settings)
        except (AccessError, HubError, CommandError, DatabaseError, InconsistentMigrationHistory, OSError) as error:
            clear = isinstance(error, (AccessError, HubError))
            reason = str(error) if clear else f"The database cannot be prepared: {error}"
            if report_fd is None:
                raise CommandError(reason.strip()) from None
            _report(report_fd, json.dumps({"error": reason.strip()}))
            raise SystemExit(1) from None
        if report_fd is None:
            announce_accounts(Console(), settings, prepared)
            told(settings.data_dir)
        else:
            _report(report_fd, prepared.to_json())


def _prepare(settings: HubSettings) -> Prepared:
    make_data_dir(settings.data_dir)
    ensure_secret_key(settings)
    _migrate()
    environment_client_update(token=settings.ws_token.get_secret_value() if settings.ws_token else None)
    return first_accounts_create(data_dir=settings.data_dir, token_file=settings.token_file)


def _migrate() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            executor = MigrationExecutor(connection)
            # The command itself takes half a second even when there is nothing to do.
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _report(fd: int, report: str) -> None:
    try:
        with open(fd, "w") as pipe:
            pipe.write(report)
    except BrokenPipeError:
        pass  # the supervisor is gone; the next one is told

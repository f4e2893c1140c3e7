"""manage.py recost: computes what past calls cost, by the prices that were valid then."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from conversations.recost import Recosted, calls_recost
from exai.provider_config.plans import listed_models
from exai.providers.catalogue import load_catalogue
from exai.settings.hub import hub_settings


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date; write 2026-11-01 or 2026-11-01T09:30+11:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Compute the cost of calls anew, by the prices valid when they began. May be repeated and interrupted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=_moment, required=True, metavar="DATE", help="calls that ended then or later; ISO 8601, UTC"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]

        def progress(so_far: Recosted) -> None:
            if options["verbosity"] > 0:
                self.stderr.write(f"{so_far.seen} calls, {so_far.changed} changed")

        done = calls_recost(
            since=options["since"],
            catalogue=listed_models(hub_settings(), load_catalogue(hub_settings().catalogue_file)),
            dry_run=dry_run,
            progress=progress,
        )
        changed = "would change" if dry_run else "changed"
        self.stdout.write(f"{done.seen} calls of models: {done.changed} {changed}, {done.unknown} of unknown cost.")
        if done.skipped:
            self.stdout.write(f"{done.skipped} left as they are: they asked several models.")

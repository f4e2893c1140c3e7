"""manage.py cleanup_files: removes the files that no conversation uses, now instead of by the clock."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from conversations.files.blobs import hub_blobs
from conversations.files.cleanup import Orphan, noted_bytes_remove, orphaned_files, orphaned_files_remove
from conversations.files.vendor_removal import ConfiguredVendors
from exai.settings.hub import hub_settings

_MOST_HOURS = 876_000


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1
    if not 0 <= hours <= _MOST_HOURS:
        raise ArgumentTypeError(f"{text!r} is no number of hours from 0 to {_MOST_HOURS}")
    return hours


class Command(BaseCommand):
    help = "Remove files that no conversation uses, past the grace period, and bytes that are left over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
        parser.add_argument(
            "--grace-hours", type=_hours, metavar="N", help="instead of EXAI_FILE_GRACE_HOURS; 0: whatever is unused"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["grace_hours"]
        grace = timedelta(hours=hub_settings().file_grace_hours if hours is None else hours)
        dry_run = options["dry_run"]
        orphans = orphaned_files(grace=grace) if dry_run else orphaned_files_remove(grace=grace)
        done: dict[str, Any] = {
            "dry_run": dry_run,
            "files": [
                {"id": str(file.id), "workspace": file.workspace, "name": file.name, "size": file.size_bytes}
                for file in orphans
            ],
            "bytes": sum(file.size_bytes for file in orphans),
        }
        if not dry_run:
            blobs = hub_blobs()
            cleared = noted_bytes_remove(blobs=blobs, vendors=ConfiguredVendors(hub_settings()))
            done |= {
                "blobs_removed": cleared.removed,
                "blobs_failed": cleared.failed,
                "leftovers_removed": blobs.staging.remove_leftovers(),
            }
        if options["json"]:
            self.stdout.write(json.dumps(done))
            return
        self._say(done, orphans)

    def _say(self, done: dict[str, Any], orphans: list[Orphan]) -> None:
        for file in orphans:
            self.stdout.write(f"{file.id}  {file.workspace}  {file.size_bytes:>12,} bytes  {file.name}")
        would = "would be removed" if done["dry_run"] else "removed"
        self.stdout.write(f"{len(orphans)} files, {done['bytes']:,} bytes {would}.")
        if not done["dry_run"]:
            self.stdout.write(
                f"Bytes of {done['blobs_removed']} removed from the storage, {done['blobs_failed']} to be tried again; "
                f"{done['leftovers_removed']} left over from ended processes removed."
            )

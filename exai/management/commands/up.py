"""`manage.py help up`, and `call_command("up")`; `manage.py up` itself starts the supervisor without Django."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from exai.settings.server import PROJECT_DIR


class Command(BaseCommand):
    help = "Starts the whole hub and keeps it running until Ctrl-C or SIGTERM."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        # Replaces this process: the supervisor must not carry Django's memory.
        search_path = os.pathsep.join(filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": search_path}
        os.execve(sys.executable, [sys.executable, "-m", "exai.supervisor"], environment)  # noqa: S606

#!/usr/bin/env python
"""The command line: `up` starts the hub; Django's commands run with its settings, and its databases where needed.

A command works while the hub is down too: it then has the embedded databases for its own time.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exai.settings.hub import HubSettings

WITHOUT_DATABASE = frozenset(
    {
        "--help",
        "--version",
        "-h",
        "call",
        "check",
        "collectstatic",
        "compilemessages",
        "diffsettings",
        "help",
        "makemessages",
        "makemigrations",
        "settings_table",
        "startapp",
        "startproject",
        "version",
    }
)


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    command = argv[1] if len(argv) > 1 else "help"
    if command == "up":
        # Without Django, whose memory the supervisor does not need; it checks the settings itself.
        from exai.supervisor.__main__ import main as supervise

        return supervise(list(argv[2:]))

    from exai.settings.hub import ConfigurationError, parse, read_environment

    try:
        settings = parse(read_environment())
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    if command in WITHOUT_DATABASE or "--help" in argv or "-h" in argv:
        return _run_django(argv)
    return _run_with_databases(argv, settings)


def _run_with_databases(argv: Sequence[str], settings: "HubSettings") -> int:
    from exai.embedded.engines import start_engines
    from exai.embedded.errors import EngineError

    # Asked to end, leave the databases as after any other end.
    signal.signal(signal.SIGTERM, _exit)
    try:
        engines = start_engines(settings)
        try:
            # Before Django reads the settings, which it does once.
            os.environ.update(engines.environment())
            return _run_django(argv)
        finally:
            # A second Ctrl-C must not break off their stop, which is bounded.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            engines.close()
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run_django(argv: Sequence[str]) -> int:
    # makemigrations wants to compare with a database, which it is not given.
    warnings.filterwarnings("ignore", message="Got an error checking a consistent migration history")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exai.settings.project")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(list(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output went away, as `head` does; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return 0


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)

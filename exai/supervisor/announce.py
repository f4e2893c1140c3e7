"""What is printed once the hub is ready: where it is, what to try, and on the first run how to get in."""

import os
import shlex
import sys
from pathlib import Path

from exai.settings.hub import HubSettings
from exai.settings.server import PROJECT_DIR
from exai.supervisor.console import Console
from exai.supervisor.credentials import Prepared


def announce(console: Console, settings: HubSettings, prepared: Prepared) -> None:
    address = settings.public_url or settings.local_url
    facts = [
        ("Dashboard", f"{address}/"),
        ("Admin", f"{address}/admin/"),
        ("Agents", f"ws{address.removeprefix('http')}/"),
        ("Try", f'{_manage()} call chat prompt="Hello"'),
        ("Logs", _as_typed(settings.data_dir / "logs")),
    ]
    console.say()
    console.say(console.bold("EXAI is ready."))
    _table(console, facts)
    announce_accounts(console, settings, prepared)
    if not (settings.kimi_api_key or settings.glm_api_key or settings.endpoints):
        console.say()
        # The supervisor reads no tables.
        console.say("No vendor is set: unless the admin has an endpoint, only the test model exai-echo answers.")
        console.say("Set MOONSHOT_API_KEY, ZAI_API_KEY or EXAI_ENDPOINTS, in the environment or in .env,")
        console.say(f"or enter an endpoint at {address}/admin/exai/providerendpoint/")
    console.say()
    if console.terminal:
        console.say(console.faint("Ctrl-C stops it."))


def announce_accounts(console: Console, settings: HubSettings, prepared: Prepared) -> None:
    """The accounts of the first run. Secrets are shown on a terminal only: what is not one may be a log for many."""
    if not prepared:
        return
    console.say()
    if console.terminal:
        console.say(console.bold("Shown this once:"))
        _table(console, _secrets(prepared))
    _table(console, _ways_in(settings, prepared, shown=console.terminal))


def _secrets(prepared: Prepared) -> list[tuple[str, str]]:
    facts = []
    if prepared.admin:
        facts += [("Admin name", prepared.admin.name), ("Admin password", prepared.admin.secret)]
    if prepared.client:
        facts += [("Client name", prepared.client.name), ("Client token", prepared.client.secret)]
    return facts


def _ways_in(settings: HubSettings, prepared: Prepared, *, shown: bool) -> list[tuple[str, str]]:
    facts = []
    if prepared.client:
        facts.append(("Token file", _as_typed(settings.token_file)))
    if prepared.admin and not shown:
        facts.append(("Admin password", f"set one with {_manage()} changepassword {prepared.admin.name}"))
    return facts


def _table(console: Console, facts: list[tuple[str, str]]) -> None:
    for name, value in facts:
        console.say(f"  {name:<14}  {value}")


def _manage() -> str:
    return f"{_as_typed(Path(sys.executable))} {_as_typed(PROJECT_DIR / 'manage.py')}"


def _as_typed(path: Path) -> str:
    """The path as one would type it here: relative when it lies below the working directory, quoted when need be."""
    try:
        shown = path.relative_to(Path.cwd())
    except (ValueError, OSError):
        shown = path
    text = os.fspath(shown)
    return shlex.quote(text)

"""The documentation of the settings, made from the settings: README.md's tables and the whole of .env.example."""

import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exai.settings.expectations import expectation, is_secret
from exai.settings.gateway import GatewaySettings
from exai.settings.hub import ENV_FILE_VARIABLE, variable_names
from exai.settings.logs import LogSettings
from exai.settings.providers import ProviderSettings
from exai.settings.server import PROJECT_DIR, ServerSettings
from exai.settings.storage import StorageSettings

README = PROJECT_DIR / "README.md"
ENV_EXAMPLE = PROJECT_DIR / ".env.example"
COMMAND = "manage.py settings_table --write"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"

GROUPS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Server", ServerSettings),
    ("Models and vendors", ProviderSettings),
    ("Calls and conversations", GatewaySettings),
    ("Databases and retention", StorageSettings),
    ("Logs", LogSettings),
)

_MEBIBYTE = 1024 * 1024
_MINUTE = 60
_COMMENT_WIDTH = 110
# What a setting's description tells better.
_SAYS_NOTHING = {"text", "a path", "a JSON list", "a list separated by commas"}


class MarkersMissing(Exception):
    """A README that has no place for the settings."""


def settings_table() -> str:
    """The settings in Markdown, one table for each concern."""
    parts = [f"An empty value counts as absent. `{ENV_FILE_VARIABLE}` names another file than `.env`."]
    for title, group in GROUPS:
        rows = [_row(field) for field in group.model_fields.values()]
        parts.append("\n".join([f"### {title}\n", "| variable | default | what it is |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def env_example() -> str:
    """The text of .env.example: every setting commented out, with its default."""
    parts = [
        "# Settings of EXAI: copy this file to .env and change what you need. A line that is commented out\n"
        "# shows the default. The environment wins over the file, and an empty value counts as absent.\n"
        f"# Made by {COMMAND}"
    ]
    for title, group in GROUPS:
        parts.append(f"# ==== {title} ====")
        parts += [_example(field) for field in group.model_fields.values()]
    return "\n\n".join(parts) + "\n"


def with_settings_table(readme: str) -> str:
    """The README with the tables between its markers brought up to date. Raises `MarkersMissing`."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MarkersMissing(f"README.md needs the lines {BEGIN} and {END}, between which the settings stand")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def outdated() -> list[Path]:
    """The files that differ from what the settings are. Raises `MarkersMissing`."""
    return [path for path, text in _files() if not path.exists() or path.read_text(encoding="utf-8") != text]


def write() -> list[Path]:
    """Brings both files up to date and gives those that changed. Raises `MarkersMissing`."""
    changed = outdated()
    for path, text in _files():
        if path in changed:
            path.write_text(text, encoding="utf-8")
    return changed


def _files() -> list[tuple[Path, str]]:
    return [(README, with_settings_table(README.read_text(encoding="utf-8"))), (ENV_EXAMPLE, env_example())]


def _row(field: FieldInfo) -> str:
    name, *aliases = (f"`{name}`" for name in variable_names(field))
    variable = f"{name} (also {', '.join(aliases)})" if aliases else name
    default = _default(field)
    readable = _readable_default(field)
    shown = (f"`{default}`" + (f" ({readable})" if readable else "")) if default else "–"
    description = f"{field.description} {_choices(field)}".strip().replace("|", "\\|")
    return f"| {variable} | {shown} | {description} |"


def _example(field: FieldInfo) -> str:
    name, *aliases = variable_names(field)
    words = [str(field.description).replace("`", "")]
    wanted = expectation(field)
    if wanted not in _SAYS_NOTHING:
        words.append(f"{wanted[0].upper()}{wanted[1:]}.")
    if readable := _readable_default(field):
        words.append(f"The default is {readable}.")
    if aliases:
        words.append(f"Also read from {', '.join(aliases)}.")
    comment = textwrap.fill(
        " ".join(words),
        _COMMENT_WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{comment}\n#{name}={_default(field)}"


def _default(field: FieldInfo) -> str:
    """As it would be written in `.env`; nothing where there is none, and never a secret."""
    default: Any = field.default
    if default is None or default == () or is_secret(field):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _readable_default(field: FieldInfo) -> str:
    default: Any = field.default
    if "in bytes" in str(field.description) and default % _MEBIBYTE == 0:
        return f"{default // _MEBIBYTE} MiB"
    if "in seconds" in str(field.description) and default > _MINUTE and default % _MINUTE == 0:
        return f"{default // _MINUTE} minutes"
    return ""


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return ""
    return "One of " + ", ".join(f"`{choice}`" for choice in get_args(field.annotation)) + "."

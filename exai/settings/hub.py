"""All settings of the hub in one class, read from the environment and `.env`, checked together.

The only reader of the environment. Nothing else in the project touches `os.environ` but to hand it to a child process.
"""

import difflib
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from exai.settings.expectations import expectation, is_secret
from exai.settings.gateway import GatewaySettings
from exai.settings.logs import LogSettings
from exai.settings.providers import ProviderSettings
from exai.settings.server import PROJECT_DIR, ServerSettings
from exai.settings.storage import StorageSettings

ENV_FILE_VARIABLE = "EXAI_ENV_FILE"
_LONGEST_SHOWN_VALUE = 200  # characters
# Read before the settings, or handed from the supervisor to its children: known, but not settings.
_OTHER_VARIABLES = frozenset({ENV_FILE_VARIABLE, "EXAI_PARENT_FD"})


class HubSettings(LogSettings, ProviderSettings, GatewaySettings, StorageSettings, ServerSettings):
    """Every setting; the mixins group them by concern."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ConfigurationError(Exception):
    """The settings cannot be used.

    `problems` holds one sentence for each: the variable, its value unless it is secret, and what it should be.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The configuration is wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))


def variable_names(field: FieldInfo) -> list[str]:
    """The names that a setting is read from, the preferred one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)]


def env_file() -> Path:
    """`.env`, or the file that `EXAI_ENV_FILE` names; it need not be there."""
    return Path(os.environ.get(ENV_FILE_VARIABLE, "").strip() or PROJECT_DIR / ".env")


def read_environment() -> dict[str, str]:
    """The variables of `.env` (or the file that `EXAI_ENV_FILE` names) and of the environment, which wins.

    Raises `ConfigurationError` when the file that is named is not there.
    """
    named = os.environ.get(ENV_FILE_VARIABLE, "").strip()
    path = env_file()
    if named and not path.exists():
        raise ConfigurationError([f"{ENV_FILE_VARIABLE}={named!r}: there is no such file"])
    from_file = {name: value for name, value in dotenv_values(path).items() if value is not None}
    return {**from_file, **os.environ}


def parse(environment: Mapping[str, str]) -> HubSettings:
    """The settings that these variables give, without the spaces and line ends around a value; an empty one counts
    as absent. Raises `ConfigurationError`."""
    given = {name: stripped for name, value in environment.items() if (stripped := value.strip())}
    problems = _contradicting_aliases(given)
    try:
        settings = HubSettings.model_validate(given)
    except ValidationError as error:
        problems += _explain(error, given)
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        problems += [problem for problem in _problems_between_settings(given, wrong) if problem not in problems]
    else:
        if not problems:
            return settings
    raise ConfigurationError(problems)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each `EXAI_*` variable that no setting reads, with the nearest name that one does."""
    known = {name for field in HubSettings.model_fields.values() for name in variable_names(field)} | _OTHER_VARIABLES
    warnings = []
    for name in sorted(environment):
        if name.startswith("EXAI_") and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            warnings.append(f"{name} is not a setting of this version and does nothing{hint}")
    return warnings


@cache
def hub_settings() -> HubSettings:
    """This process's settings, read once. Raises `ConfigurationError`."""
    return parse(read_environment())


def _contradicting_aliases(given: Mapping[str, str]) -> list[str]:
    problems = []
    for field in HubSettings.model_fields.values():
        present = [name for name in variable_names(field) if name in given]
        if len({given[name] for name in present}) > 1:
            names = " and ".join(present)
            problems.append(f"{names} are two names of one setting and have different values: keep one of them")
    return problems


def _explain(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    fields = {name: field for field in HubSettings.model_fields.values() for name in variable_names(field)}
    problems = []
    details = error.errors(include_url=False, include_context=False, include_input=False)
    places = [detail["loc"] for detail in details]
    for detail in details:
        place = detail["loc"]
        if place and any(inner[: len(place)] == place != inner for inner in places):
            continue  # a list whose elements are wrong is also said to be empty
        message = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:
            problems.append(message)
            continue
        field = fields[str(detail["loc"][0])]
        name = next(name for name in variable_names(field) if name in given)
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"][1:])
        shown = "" if inner or is_secret(field) else f"={_without_secrets(given[name])[:_LONGEST_SHOWN_VALUE]!r}"
        wanted = message if inner or detail["type"] == "value_error" else f"should be {expectation(field)}"
        problems.append(f"{name}{inner}{shown}: {wanted}")
    return problems


def _without_secrets(value: str) -> str:
    """The value, or the address in it, without the `user:password@` and the query that some addresses hold."""
    value = re.sub(r"//.*@", "//…@", value, flags=re.DOTALL)
    return re.sub(r"(//.*?[?#]).*", r"\1…", value, flags=re.DOTALL)


def _problems_between_settings(given: Mapping[str, str], wrong: set[str]) -> list[str]:
    """What the checks across settings say once the settings that are wrong by themselves are left at their default.

    Pydantic runs those checks only when every field is right; the operator should see all at once.
    """
    fields = HubSettings.model_fields.values()
    dropped = {name for field in fields for name in variable_names(field) if wrong & set(variable_names(field))}
    try:
        HubSettings.model_validate({name: value for name, value in given.items() if name not in dropped})
    except ValidationError as error:
        return [detail["msg"].removeprefix("Value error, ") for detail in error.errors() if not detail["loc"]]
    return []

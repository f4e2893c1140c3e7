"""README.md and .env.example say what the settings are. A failure here is mended by a command, not by hand."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from dotenv import dotenv_values

from exai.settings import documentation
from exai.settings.documentation import BEGIN, COMMAND, END, GROUPS, MarkersMissing, env_example, settings_table
from exai.settings.hub import HubSettings, parse, variable_names

NAMES = [name for field in HubSettings.model_fields.values() for name in variable_names(field)]


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the command writes, elsewhere."""
    monkeypatch.setattr(documentation, "README", tmp_path / "README.md")
    monkeypatch.setattr(documentation, "ENV_EXAMPLE", tmp_path / ".env.example")
    return tmp_path


def test_the_readme_and_the_example_are_up_to_date() -> None:
    outdated = [path.name for path in documentation.outdated()]
    assert not outdated, f"{' and '.join(outdated)} differ from the settings: run .venv/bin/python {COMMAND}"


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for _, group in GROUPS for name in group.model_fields]
    assert sorted(grouped) == sorted(HubSettings.model_fields)


def test_every_name_of_every_setting_is_in_the_table_and_the_example() -> None:
    for text in (settings_table(), env_example()):
        assert [name for name in NAMES if name not in text] == []


def test_every_setting_is_described() -> None:
    for name, field in HubSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_example_changes_nothing_as_it_is() -> None:
    assert dotenv_values(stream=StringIO(env_example())) == {}


def test_the_example_shows_the_defaults() -> None:
    settings = "\n".join(
        line.removeprefix("#") for line in env_example().splitlines() if line.startswith("#") and line[1] not in " ="
    )
    shown = {name: value or "" for name, value in dotenv_values(stream=StringIO(settings)).items()}
    assert list(shown) == [variable_names(field)[0] for _, group in GROUPS for field in group.model_fields.values()]
    assert parse(shown) == parse({})


def test_no_line_of_the_example_is_longer_than_a_screen() -> None:
    assert max(len(line) for line in env_example().splitlines()) <= 120


def test_the_command_prints_both() -> None:
    printed = StringIO()
    call_command("settings_table", stdout=printed)
    assert printed.getvalue() == f"{settings_table()}\n\n{env_example()}"


def test_the_command_brings_both_up_to_date_and_touches_nothing_else(copies: Path) -> None:
    (copies / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nMore\n", encoding="utf-8")
    printed = StringIO()
    call_command("settings_table", "--write", stdout=printed)
    assert printed.getvalue().split() == ["Changed", "README.md", "Changed", ".env.example"]
    readme = (copies / "README.md").read_text(encoding="utf-8")
    assert readme == f"# Title\n\n{BEGIN}\n{settings_table()}\n{END}\n\nMore\n"
    assert (copies / ".env.example").read_text(encoding="utf-8") == env_example()

    printed = StringIO()
    call_command("settings_table", "--write", stdout=printed)
    assert printed.getvalue() == "Both are up to date.\n"


@pytest.mark.parametrize("text", ["# Title\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_readme_without_the_markers_is_left_alone(copies: Path, text: str) -> None:
    (copies / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(MarkersMissing):
        documentation.write()
    with pytest.raises(CommandError, match="<!-- settings -->"):
        call_command("settings_table", "--write")
    assert (copies / "README.md").read_text(encoding="utf-8") == text
    assert not (copies / ".env.example").exists()

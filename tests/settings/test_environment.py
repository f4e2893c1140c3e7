"""Where the variables come from: the environment, and the file beside it."""

from pathlib import Path

import pytest

from exai.settings import hub
from exai.settings.hub import ConfigurationError, parse, read_environment


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.env"
    monkeypatch.setenv("EXAI_ENV_FILE", str(path))
    monkeypatch.delenv("EXAI_PORT", raising=False)
    monkeypatch.delenv("EXAI_LOG_LEVEL", raising=False)
    return path


def test_the_file_is_read_and_the_environment_wins(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text('# comment\nEXAI_PORT=9001\nexport EXAI_LOG_LEVEL="DEBUG"\n', encoding="utf-8")
    assert (read_environment()["EXAI_PORT"], read_environment()["EXAI_LOG_LEVEL"]) == ("9001", "DEBUG")
    monkeypatch.setenv("EXAI_PORT", "9002")
    environment = read_environment()
    assert (environment["EXAI_PORT"], environment["EXAI_LOG_LEVEL"]) == ("9002", "DEBUG")
    assert parse({name: environment[name] for name in ("EXAI_PORT", "EXAI_LOG_LEVEL")}).port == 9002


def test_reading_the_file_does_not_change_the_environment(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("EXAI_LOG_LEVEL=DEBUG\n", encoding="utf-8")
    read_environment()
    env_file.write_text("", encoding="utf-8")
    assert "EXAI_LOG_LEVEL" not in read_environment()


@pytest.mark.parametrize("named", ["", None])
def test_by_default_the_file_is_env_in_the_project_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setattr(hub, "PROJECT_DIR", tmp_path)
    if named is None:
        monkeypatch.delenv("EXAI_ENV_FILE", raising=False)
    else:
        monkeypatch.setenv("EXAI_ENV_FILE", named)
    monkeypatch.delenv("EXAI_LOG_LEVEL", raising=False)
    assert "EXAI_LOG_LEVEL" not in read_environment()
    (tmp_path / ".env").write_text("EXAI_LOG_LEVEL=ERROR\n", encoding="utf-8")
    assert read_environment()["EXAI_LOG_LEVEL"] == "ERROR"


def test_a_file_that_is_named_must_be_there(env_file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment()
    assert caught.value.problems == [f"EXAI_ENV_FILE={str(env_file)!r}: there is no such file"]

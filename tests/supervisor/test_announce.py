"""What is printed when the hub is ready, on a terminal and elsewhere."""

import os
import pty
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from exai.settings.hub import HubSettings, parse
from exai.settings.server import PROJECT_DIR
from exai.supervisor.announce import announce
from exai.supervisor.console import Console
from exai.supervisor.credentials import Credential, Prepared

FIRST_RUN = Prepared(Credential("admin", "pass-word-123"), Credential("local", "exai_token-456"))
SECRETS = ("pass-word-123", "exai_token-456")


def settings(**variables: str) -> HubSettings:
    return parse({"EXAI_DATA_DIR": "/data", **variables})


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, speak: Callable[[Console], None]) -> str:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        speak(Console())
    said = b""
    with suppress(OSError):  # the end of a terminal, on Linux
        while part := os.read(master, 65_536):
            said += part
    os.close(master)
    return said.decode().replace("\r\n", "\n")


def test_a_terminal_shows_the_secrets_of_the_first_run_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    said = on_a_terminal(monkeypatch, lambda console: announce(console, settings(), FIRST_RUN))
    assert [said.count(secret) for secret in SECRETS] == [1, 1]
    assert "admin" in said
    assert "local" in said


def test_elsewhere_secrets_are_not_shown_but_where_and_how_to_get_them(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Console(), settings(), FIRST_RUN)
    said = capsys.readouterr().out
    assert not any(secret in said for secret in SECRETS)
    assert "/data/client.token" in said
    assert "manage.py changepassword admin" in said


def test_a_later_run_says_nothing_of_accounts(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Console(), settings(), Prepared())
    said = capsys.readouterr().out
    assert "changepassword" not in said
    assert "client.token" not in said


def test_addresses_and_a_line_to_try_are_as_one_would_type_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROJECT_DIR)
    monkeypatch.setattr(sys, "executable", str(PROJECT_DIR / ".venv/bin/python"))
    announce(Console(), settings(EXAI_PORT="8100"), Prepared())
    said = capsys.readouterr().out
    assert "http://127.0.0.1:8100/\n" in said
    assert "http://127.0.0.1:8100/admin/\n" in said
    assert "ws://127.0.0.1:8100/\n" in said
    assert '.venv/bin/python manage.py call chat prompt="Hello"\n' in said


def test_paths_with_spaces_are_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(Console(), settings(EXAI_DATA_DIR=str(tmp_path / "my data")), Prepared())
    assert f"'{tmp_path}/my data/logs'" in capsys.readouterr().out


def test_behind_a_proxy_its_address_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Console(), settings(EXAI_PUBLIC_URL="https://exai.example.com"), Prepared())
    said = capsys.readouterr().out
    assert "https://exai.example.com/admin/" in said
    assert "wss://exai.example.com/" in said


def test_without_a_vendor_it_says_who_answers_and_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Console(), settings(), Prepared())
    said = capsys.readouterr().out
    assert "exai-echo" in said
    # One that is entered in the admin is not known here.
    assert "unless the admin has an endpoint" in said
    assert "/admin/exai/providerendpoint/" in said
    assert all(name in said for name in ("MOONSHOT_API_KEY", "ZAI_API_KEY", "EXAI_ENDPOINTS"))
    announce(Console(), settings(ZAI_API_KEY="key-of-the-vendor"), Prepared())
    said = capsys.readouterr().out
    assert "exai-echo" not in said
    assert "key-of-the-vendor" not in said


def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[" in on_a_terminal(monkeypatch, lambda console: announce(console, settings(), Prepared()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in on_a_terminal(monkeypatch, lambda console: announce(console, settings(), Prepared()))
    announce(Console(), settings(), Prepared())
    assert "\033[" not in capsys.readouterr().out


def test_when_nobody_reads_any_more_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        console = Console()
        console.say("one")
        console.say("two")

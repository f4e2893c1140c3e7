"""The commands about clients, called in this process."""

import errno
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from exai.access import (
    AccessError,
    client_create,
    client_replace_token,
    client_rotate_token,
    client_set_enabled,
    environment_client_update,
    token_hash,
)
from exai.management.commands import rotate_token
from exai.models import ApiClient
from exai.settings.hub import parse

pytestmark = pytest.mark.django_db


def _run(*words: str) -> str:
    output = StringIO()
    call_command(*words, stdout=output)
    return output.getvalue()


def test_create_client_prints_the_token_once_and_stores_only_its_hash() -> None:
    made = json.loads(_run("create_client", "agent", "--json"))
    client = ApiClient.objects.get(name="agent")
    assert made == {"name": "agent", "token": made["token"], "workspace": "agent", "scopes": ["tools", "files"]}
    assert client.token_hash == token_hash(made["token"])
    assert made["token"] not in str(ApiClient.objects.values().get())
    assert made["token"].startswith(client.token_start)


def test_create_client_for_people_says_what_it_made() -> None:
    output = _run("create_client", "agent", "--scopes", "tools,admin", "--expires", "2030-01-02")
    assert "agent" in output
    assert "tools, admin" in output
    assert ApiClient.objects.get().expires_at == datetime(2030, 1, 2, tzinfo=UTC)


def test_create_client_gives_the_client_its_tools() -> None:
    output = _run("create_client", "agent", "--profile", "lean", "--allow", "status, health", "--deny", "chat")
    assert "lean, and status health, without chat" in output
    client = ApiClient.objects.get()
    assert (client.tool_profile, client.tools_allowed, client.tools_denied) == ("lean", ["status", "health"], ["chat"])
    _run("create_client", "usual")
    usual = ApiClient.objects.get(name="usual")
    assert (usual.tool_profile, usual.tools_allowed, usual.tools_denied) == ("standard", [], [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agent", "--allow", "status,no_such_tool"], "no tools: no_such_tool"),
        (["agent", "--deny", "chat."], "no tools"),
        (["agent", "--profile", "fat"], "invalid choice"),
        (["Has Spaces"], "lower-case"),
        (["env"], "EXAI_WS_TOKEN"),
        (["taken"], "already exists"),
        (["agent", "--scopes", "everything"], "scopes"),
        (["agent", "--workspace", "No/Slash"], "workspace"),
    ],
)
def test_create_client_refuses_with_a_reason(words: list[str], said: str) -> None:
    client_create(name="taken", workspace="elsewhere")
    with pytest.raises(CommandError, match=said):
        _run("create_client", *words)


def test_a_new_client_never_falls_into_a_workspace_by_its_name() -> None:
    client_create(name="first", workspace="shared")
    with pytest.raises(AccessError, match="--workspace shared"):
        client_create(name="shared")
    client, _ = client_create(name="shared", workspace="shared")
    assert client.workspace == "shared"


def test_disable_client_and_its_undo() -> None:
    client_create(name="agent")
    assert "disabled" in _run("disable_client", "agent")
    assert not ApiClient.objects.get().enabled
    assert "enabled" in _run("disable_client", "agent", "--enable")
    assert ApiClient.objects.get().enabled


def test_an_unknown_client_is_named_with_those_there_are() -> None:
    client_create(name="agent")
    for command in ("disable_client", "rotate_token"):
        with pytest.raises(CommandError, match="There are: agent"):
            _run(command, "nobody")


def test_rotate_token_replaces_the_token() -> None:
    _, old = client_create(name="agent")
    new = json.loads(_run("rotate_token", "agent", "--json"))["token"]
    assert new != old
    assert ApiClient.objects.get().token_hash == token_hash(new)


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = parse({"EXAI_DATA_DIR": str(tmp_path)})
    monkeypatch.setattr(rotate_token, "hub_settings", lambda: settings)
    return settings.token_file


def test_rotate_token_brings_the_file_that_held_the_old_token_up_to_date(token_file: Path) -> None:
    _, old = client_create(name="local")
    token_file.write_text(old + "\n")
    token_file.chmod(0o644)
    output = _run("rotate_token", "local")
    new = token_file.read_text()
    assert ApiClient.objects.get().token_hash == token_hash(new)
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert new in output
    assert f"written to {token_file}" in output
    made = json.loads(_run("rotate_token", "local", "--json"))
    assert made == {"name": "local", "token": token_file.read_text(), "token_file": str(token_file)}


def test_rotate_token_leaves_the_file_of_another_client_alone(token_file: Path) -> None:
    _, others = client_create(name="local")
    client_create(name="agent")
    token_file.write_text(others)
    assert str(token_file) not in _run("rotate_token", "agent")
    assert token_file.read_text() == others
    token_file.unlink()
    assert json.loads(_run("rotate_token", "agent", "--json")).keys() == {"name", "token"}
    assert not token_file.exists()


def test_rotate_token_shows_the_token_also_where_the_file_cannot_be_written(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    _, old = client_create(name="local")
    token_file.write_text(old)
    monkeypatch.setattr(rotate_token, "write_privately", full)
    errors = StringIO()
    output = StringIO()
    call_command("rotate_token", "local", stdout=output, stderr=errors)
    assert ApiClient.objects.get().token_hash == token_hash(output.getvalue().split()[3])
    assert f"{token_file} still holds the old token" in errors.getvalue()
    assert "No space left" in errors.getvalue()


def test_a_client_may_replace_its_token_only_when_it_knows_it_and_the_new_one_is_long() -> None:
    client, old = client_create(name="agent")
    other, others = client_create(name="other")
    new = "n" * 32
    for old_given, new_given, reason in (
        ("wrong", new, "unauthorized"),
        (others, new, "unauthorized"),
        (old, "n" * 31, "weak_token"),
        (old, others, "weak_token"),
    ):
        with pytest.raises(AccessError, match=reason):
            client_replace_token(old=old_given, new=new_given, client_id=client.pk)
    client_replace_token(old=old, new=new, client_id=client.pk)
    client.refresh_from_db()
    assert client.token_hash == token_hash(new)
    client_set_enabled(client=other, enabled=False)
    with pytest.raises(AccessError, match="unauthorized"):
        client_replace_token(old=others, new="m" * 40, client_id=other.pk)


def test_the_environment_client_follows_its_variable() -> None:
    environment_client_update(token="a token from the environment")
    client = ApiClient.objects.get(name="env")
    assert (client.enabled, client.workspace) == (True, "env")
    environment_client_update(token="another token of the environment")
    client.refresh_from_db()
    assert client.token_hash == token_hash("another token of the environment")
    with pytest.raises(AccessError, match="EXAI_WS_TOKEN"):
        client_rotate_token(client=client)
    environment_client_update(token=None)
    client.refresh_from_db()
    assert not client.enabled


def test_the_environment_client_cannot_take_another_clients_token() -> None:
    _, token = client_create(name="agent")
    with pytest.raises(AccessError, match="another client"):
        environment_client_update(token=token)


def test_an_expiry_without_a_zone_is_utc() -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    _run("create_client", "agent", "--expires", later.replace(tzinfo=None).isoformat())
    assert ApiClient.objects.get().expires_at == later

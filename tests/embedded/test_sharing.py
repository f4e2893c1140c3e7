"""Several processes use the engines of one data directory; some of them are killed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from exai.embedded.engines import EngineError, Engines, start_engines
from exai.settings.hub import HubSettings
from tests.embedded.processes import Holder, answers, engine, kill, processes_naming

Start = Callable[[HubSettings], Engines]
Hold = Callable[[], Holder]


def test_the_last_one_out_stops_the_engines_also_when_another_process_started_them(
    hold: Hold, settings: HubSettings, data_dir: Path
) -> None:
    first = hold()
    environment = first.report()["environment"]
    second = start_engines(settings)

    assert second.environment() == environment
    assert first.leave() == 0
    with psycopg.connect(environment["DATABASE_URL"]):
        pass
    second.close()

    assert processes_naming(data_dir) == []
    assert not Path(environment["DATABASE_URL"].split("host=")[1]).exists()


def test_processes_that_start_at_the_same_time_share_the_same_engines(fresh_dir: Path) -> None:
    holders = [Holder(fresh_dir), Holder(fresh_dir)]
    try:
        first, second = (holder.report() for holder in holders)
        assert first == second
        assert len(processes_naming(fresh_dir)) == 2
        assert [holder.leave() for holder in holders] == [0, 0]
    finally:
        for holder in holders:
            holder.kill()
    assert processes_naming(fresh_dir) == []


def test_engines_left_by_a_killed_hub_are_taken_over_and_stopped(
    hold: Hold, settings: HubSettings, data_dir: Path
) -> None:
    killed = hold()
    environment = killed.report()["environment"]
    before = sorted(process.pid for process in processes_naming(data_dir))
    killed.kill()

    with start_engines(settings) as engines:
        assert sorted(process.pid for process in processes_naming(data_dir)) == before
        assert engines.environment() == environment
        with psycopg.connect(environment["DATABASE_URL"]):
            pass

    assert len(before) == 2
    assert processes_naming(data_dir) == []


def test_engines_are_found_even_when_their_pid_files_were_removed(
    hold: Hold, settings: HubSettings, data_dir: Path
) -> None:
    killed = hold()
    killed.report()
    pid = engine(data_dir, "valkey-server").pid
    killed.kill()
    (data_dir / "valkey" / "valkey.pid").unlink()

    with start_engines(settings):
        assert engine(data_dir, "valkey-server").pid == pid


def test_closing_twice_and_closing_in_a_forked_child_do_no_harm(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    engines = start(valkey_only)
    child = os.fork()
    if child == 0:
        engines.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(processes_naming(fresh_dir)) == 1

    engines.close()
    engines.close()
    assert processes_naming(fresh_dir) == []


def test_engines_of_another_container_are_not_started_a_second_time(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    start(valkey_only)
    state_file = fresh_dir / "engines.json"
    state = json.loads(state_file.read_text())
    state_file.write_text(json.dumps({**state, "system": "another boot, another namespace"}))

    with pytest.raises(EngineError, match="another container"):
        start_engines(valkey_only)
    state_file.write_text(json.dumps(state))


def test_engines_whose_sockets_cannot_be_seen_are_left_to_their_hub(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    start(valkey_only)
    pid = engine(fresh_dir, "valkey-server").pid
    state_file = fresh_dir / "engines.json"
    state = json.loads(state_file.read_text())
    state_file.write_text(json.dumps({**state, "socket_dir": "/nonexistent/exai"}))

    with pytest.raises(EngineError, match="sockets this process cannot see"):
        start_engines(valkey_only)
    assert engine(fresh_dir, "valkey-server").pid == pid
    state_file.write_text(json.dumps(state))


def test_engines_that_died_are_started_where_their_other_users_look_for_them(
    start: Start, valkey_only: HubSettings, fresh_dir: Path
) -> None:
    hub = start(valkey_only)
    kill(engine(fresh_dir, "valkey-server"))

    assert start(valkey_only).environment() == hub.environment()
    assert answers(hub.environment()["REDIS_URL"])
    assert hub.revive() == []

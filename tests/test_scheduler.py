"""The scheduler's lease and its memory of runs, on a real Valkey; two schedulers stand for two workers."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery

from exai.celery import broker_url
from exai.embedded.engines import start_engines
from exai.scheduler import LEASE_KEY, RUNS_KEY, LeasedScheduler
from exai.settings.hub import parse

QUEUE = "celery"
HOUR = 3600.0


@pytest.fixture(scope="module")
def valkey_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="exai-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # under root the engine runs as another user
        settings = parse({"EXAI_DATA_DIR": f"{folder}/data", "DATABASE_URL": "postgresql://elsewhere/exai"})
        with start_engines(settings) as engines:
            yield engines.environment()["REDIS_URL"]


@pytest.fixture
def store(valkey_url: str) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(valkey_url, decode_responses=True)
    client.flushdb()
    yield client
    client.close()


def scheduler(valkey_url: str, *, lease_seconds: float = 15.0, every: float = HOUR) -> LeasedScheduler:
    app = Celery("test", broker=broker_url(valkey_url), set_as_current=False)
    app.conf.update(result_expires=None, beat_schedule={"tidy": {"task": "tidy", "schedule": every}})
    return LeasedScheduler(app, redis_url=valkey_url, lease_seconds=lease_seconds)


def sent(store: "redis.Redis") -> int:
    return int(str(store.llen(QUEUE)))


def let_the_last_run_be(store: "redis.Redis", ago: timedelta) -> None:
    store.hset(RUNS_KEY, "tidy", (datetime.now(UTC) - ago).isoformat())


def test_the_first_to_ask_holds_the_lease_and_the_other_waits(valkey_url: str, store: "redis.Redis") -> None:
    one, other = scheduler(valkey_url), scheduler(valkey_url)
    assert one.tick() > 0
    assert other.tick() > 0
    assert one.holds_lease
    assert not other.holds_lease


def test_a_closed_scheduler_hands_the_lease_over_at_once(valkey_url: str, store: "redis.Redis") -> None:
    one, other = scheduler(valkey_url), scheduler(valkey_url)
    one.tick()
    one.close()
    other.tick()
    assert other.holds_lease


def test_the_lease_of_one_that_died_runs_out(valkey_url: str, store: "redis.Redis") -> None:
    scheduler(valkey_url, lease_seconds=15).tick()
    assert 0 < int(str(store.pttl(LEASE_KEY))) <= 15_000
    store.delete(LEASE_KEY)  # as its end does
    other = scheduler(valkey_url)
    other.tick()
    assert other.holds_lease


def test_nothing_runs_before_its_interval_has_passed_since_it_was_first_seen(
    valkey_url: str, store: "redis.Redis"
) -> None:
    one = scheduler(valkey_url)
    one.tick()
    assert sent(store) == 0
    assert store.hexists(RUNS_KEY, "tidy")


def test_a_run_that_fell_due_while_nobody_scheduled_is_made_up_for_once(valkey_url: str, store: "redis.Redis") -> None:
    let_the_last_run_be(store, timedelta(hours=5))
    one = scheduler(valkey_url)
    for _ in range(4):
        one.tick()
    assert sent(store) == 1


def test_another_holder_does_not_repeat_a_run(valkey_url: str, store: "redis.Redis") -> None:
    let_the_last_run_be(store, timedelta(hours=2))
    one, other = scheduler(valkey_url), scheduler(valkey_url)
    one.tick()
    one.close()
    for _ in range(3):
        other.tick()
    assert other.holds_lease
    assert sent(store) == 1


def test_a_restart_does_not_put_off_the_next_run(valkey_url: str, store: "redis.Redis") -> None:
    scheduler(valkey_url).tick()
    first_seen = store.hget(RUNS_KEY, "tidy")
    store.delete(LEASE_KEY)
    scheduler(valkey_url).tick()
    assert store.hget(RUNS_KEY, "tidy") == first_seen


def test_a_holder_that_stalled_past_its_lease_sends_nothing(valkey_url: str, store: "redis.Redis") -> None:
    stalled = scheduler(valkey_url)
    stalled.tick()
    store.set(LEASE_KEY, "another worker")  # it took over meanwhile
    stalled.schedule["tidy"].last_run_at = datetime.now(UTC) - timedelta(hours=2)
    stalled.populate_heap()
    stalled.tick()
    assert sent(store) == 0
    assert not stalled.holds_lease


def test_a_run_whose_message_could_not_be_sent_is_sent_later(valkey_url: str, store: "redis.Redis") -> None:
    let_the_last_run_be(store, timedelta(hours=2))
    one = scheduler(valkey_url)
    store.set(QUEUE, "not a list")  # so that Valkey refuses the message
    one.tick()
    assert not one.holds_lease
    store.delete(QUEUE)
    one.tick()
    assert sent(store) == 1


def test_without_redis_a_tick_neither_fails_nor_takes_long(store: "redis.Redis") -> None:
    lonely = scheduler("unix:///nonexistent/valkey.sock")
    started = datetime.now(UTC)
    assert lonely.tick() > 0
    assert not lonely.holds_lease
    lonely.close()
    assert datetime.now(UTC) - started < timedelta(seconds=3)


def test_keys_begin_with_the_name_of_the_hub(valkey_url: str, store: "redis.Redis") -> None:
    scheduler(valkey_url).tick()
    assert all(str(key).startswith("exai:") for key in store.scan_iter())

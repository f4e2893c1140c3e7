"""The scheduler of periodic tasks: one in every worker, of which the holder of a lease in Redis works.

When each task last ran is kept in Redis too, so a restart or another holder neither forgets a run nor repeats one.
A run is noted, in the same step that proves the lease, before its message is sent: a holder that stalled for longer
than its lease finds it taken and sends nothing. One that dies between the two loses this run; the next is not later.
"""

import logging
import secrets
import threading
import time
from datetime import datetime
from typing import Any

import redis
from celery import Celery, bootsteps
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from exai.settings.hub import hub_settings

LEASE_KEY = "exai:scheduler:lease"
RUNS_KEY = "exai:scheduler:runs"
LEASE_SECONDS = 15.0
_RENEW_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 2.0
_ANSWER_SECONDS = 3
_STOP_SECONDS = 1.0

# KEYS: lease. ARGV: owner, milliseconds.
_TAKE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
# KEYS: lease. ARGV: owner.
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
# KEYS: lease, runs. ARGV: owner, entry, its last run as the owner knows it, the run to note.
_NOTE_RUN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
return 1
"""

logger = logging.getLogger(__name__)


class LeasedScheduler(Scheduler):
    """Ticks only while it holds the lease; raises nothing of Redis: while that is away, nothing is due."""

    def __init__(self, app: Celery, *, redis_url: str, lease_seconds: float = LEASE_SECONDS, **options: Any) -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            decode_responses=True,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._owner = secrets.token_hex(16)
        self._lease_ms = int(lease_seconds * 1000)
        self._renew_after = min(_RENEW_SECONDS, lease_seconds / 3)
        self._renewed_at: float | None = None  # on the monotonic clock, while the lease is held
        # Entry → (run before, run noted), from before the noting until the message is sent.
        self._unsent: dict[str, tuple[str, str]] = {}
        super().__init__(app, **options)

    @property
    def holds_lease(self) -> bool:
        return self._renewed_at is not None

    def tick(self, *args: Any, **options: Any) -> float:
        """Sends what is due; returns the seconds until the next tick."""
        try:
            if not self._hold_lease():
                return _TRY_AGAIN_SECONDS
            return min(super().tick(*args, **options), self._renew_after)
        except (redis.RedisError, OperationalError, SchedulingError) as error:
            if self.holds_lease:
                logger.warning("The scheduler pauses until Redis answers again: %s", error)
            self._let_go()
            return _TRY_AGAIN_SECONDS

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Called with an entry that is due, after its successor was put into the schedule."""
        name = str(entry.name)
        before, run = _run_text(entry), _run_text(self.schedule[name])
        self._unsent[name] = (before, run)
        if self._note_run(name, before, run):
            logger.info("Due: %s", name)
            self.apply_async(entry, producer=producer, advance=False)
        else:
            self._let_go()
        del self._unsent[name]

    def close(self) -> None:
        """Gives the lease to whoever wants it."""
        try:
            if self.holds_lease:
                self._redis.eval(_RELEASE, 1, LEASE_KEY, self._owner)
        except redis.RedisError:
            pass  # it runs out by itself
        self._let_go()
        self._redis.close()

    def _hold_lease(self) -> bool:
        now = time.monotonic()
        if self._renewed_at is None:
            if not self._redis.eval(_TAKE, 1, LEASE_KEY, self._owner, self._lease_ms):
                return False
            self._load_runs()
            logger.info("This worker schedules from now on")
        elif now - self._renewed_at < self._renew_after:
            return True
        elif not self._redis.eval(_RENEW, 1, LEASE_KEY, self._owner, self._lease_ms):
            self._let_go()
            return False
        self._renewed_at = now
        return True

    def _let_go(self) -> None:
        self._renewed_at = None
        # The connection that messages are sent on is made anew when it is needed.
        super().close()

    def _load_runs(self) -> None:
        """When each entry last ran, whoever ran it. An entry that never did counts from when it was first seen."""
        for name, entry in self.schedule.items():
            if name in self._unsent:
                before, run = self._unsent.pop(name)
                self._note_run(name, run, before)
            self._redis.hsetnx(RUNS_KEY, name, entry.default_now().isoformat())
            entry.last_run_at = datetime.fromisoformat(str(self._redis.hget(RUNS_KEY, name)))
        self._heap = None

    def _note_run(self, name: str, before: str, run: str) -> bool:
        return bool(self._redis.eval(_NOTE_RUN, 2, LEASE_KEY, RUNS_KEY, self._owner, name, before, run))

    def _ensure_connected(self) -> Any:
        # The parent's way would try for ever, and neither the lease nor a stop could wait for that.
        return self.connection.ensure_connection(max_retries=1, timeout=_ANSWER_SECONDS)


def _run_text(entry: ScheduleEntry) -> str:
    if entry.last_run_at is None:
        raise SchedulingError(f"{entry.name} has no time of its last run")
    return entry.last_run_at.isoformat()


class SchedulerThread(threading.Thread):
    def __init__(self, app: Celery, redis_url: str) -> None:
        super().__init__(name="scheduler", daemon=True)
        self._app = app
        self._redis_url = redis_url
        self._stopping = threading.Event()

    def run(self) -> None:
        self._app.set_current()
        scheduler = LeasedScheduler(self._app, redis_url=self._redis_url)
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = scheduler.tick()
            except Exception:  # whatever it is, a worker that silently schedules nothing any more would be worse
                logger.exception("The scheduler failed; it tries again")
                pause = _TRY_AGAIN_SECONDS
        scheduler.close()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def stop(self) -> None:
        """Waits a moment for the lease to be given back; a Redis that does not answer holds nobody up."""
        self._stopping.set()
        self.join(_STOP_SECONDS)


class SchedulerStep(bootsteps.StartStopStep):
    """Runs the scheduler in a thread of the worker: a process of its own would cost as much memory as the worker."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        url = hub_settings().redis_url
        self.enabled = url is not None
        if url is not None:
            self._thread = SchedulerThread(parent.app, url.get_secret_value())

    def start(self, parent: Any) -> None:
        self._thread.start()

    def close(self, parent: Any) -> None:
        self._thread.ask_to_stop()

    def stop(self, parent: Any) -> None:
        self._thread.stop()

    terminate = stop

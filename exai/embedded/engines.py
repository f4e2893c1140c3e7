"""The embedded engines of one data directory, shared by all processes that use it: the way into this package.

Every user of the engines holds a shared lock; the last one to leave stops them. A user that is killed loses its lock,
not the engines: the next one takes them over.
"""

import errno
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from exai.embedded.engine import Engine, Surroundings
from exai.embedded.errors import EngineError as EngineError
from exai.embedded.identity import engine_identity
from exai.embedded.locks import FileLock
from exai.embedded.passwords import kept_passwords
from exai.embedded.places import find_home, make_data_dir, make_socket_dir, remove_socket_dir, restore_socket_dir
from exai.embedded.postgres import Postgres
from exai.embedded.state import State, this_system
from exai.embedded.valkey import Valkey
from exai.settings.hub import HubSettings

_START_SECONDS = 60.0
_LONGEST_PAUSE = 30.0
# An engine that ran for longer before it died is started again at once.
_STEADY_SECONDS = 60.0


class Engines:
    """To be closed, or used as a context."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._wanted: list[Engine] = []
        self._all: list[Engine] = []
        self._state: State | None = None
        self._around: Surroundings | None = None
        self._lock: FileLock | None = None
        self._users: FileLock | None = None
        # A forked child shares the locks, but is no user of its own.
        self._pid = os.getpid()
        self._last_start: dict[Engine, float] = {}
        self._pause: dict[Engine, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """`DATABASE_URL` and `REDIS_URL` of what is embedded. They hold passwords."""
        return {engine.variable: engine.url for engine in self._wanted}

    def revive(self) -> list[str]:
        """Start again what has died, without waiting until it answers; a sentence for each deed or failure.

        Meant to be called every second. An engine that keeps dying is started at growing intervals.
        """
        fallen = [engine for engine in self._wanted if not engine.reachable()]
        for engine in self._wanted:
            if engine not in fallen:
                engine.tidy()
        now = time.monotonic()
        due = [engine for engine in fallen if now >= self._last_start.get(engine, 0) + self._pause.get(engine, 0)]
        if not due or not self._lock or not self._lock.try_take():
            return []  # healthy, or another process is at it
        try:
            return [sentence for engine in due for sentence in self._revive(engine)]
        finally:
            self._lock.release()

    def close(self) -> None:
        """Leave; the last user stops the engines. May be called again."""
        lock, users = self._lock, self._users
        if lock is None or users is None or os.getpid() != self._pid:
            return
        self._lock = self._users = None
        try:
            lock.take(_START_SECONDS)
            if users.try_take():
                self._stop_all()
        finally:
            users.close()
            lock.close()

    def _open(self, settings: HubSettings, kinds: list[type[Engine]]) -> None:
        data_dir = make_data_dir(settings.data_dir).resolve()
        self._lock = FileLock(data_dir / "engines.lock")
        self._users = FileLock(data_dir / "engines.users")
        self._lock.take(_START_SECONDS)
        try:
            alone = self._users.try_take()
            self._users.share()
            self._bring_up(data_dir, kinds, alone)
        finally:
            self._lock.release()

    def _bring_up(self, data_dir: Path, kinds: list[type[Engine]], alone: bool) -> None:
        state = State.load(data_dir)
        if not alone and state.system != this_system():
            raise EngineError(
                f"The databases in {data_dir} are in use by a hub in another container or on another machine. "
                "Stop that hub, or run this command beside it."
            )
        identity = engine_identity()
        home = find_home(data_dir, state.home, identity, [kind.folder_name for kind in kinds])
        if home != data_dir:
            self.notices.append(
                f"The database files are in {home}, because the user {identity.name}, as whom the databases run under "
                f"root, may not enter {data_dir}."
            )
        passwords = kept_passwords(data_dir)
        around = Surroundings(identity, home, passwords, Path(state.socket_dir or os.devnull))
        self._around, self._state = around, state
        self._all = [Valkey(around), Postgres(around)]
        self._wanted = [engine for engine in self._all if type(engine) in kinds]

        # The state is unset by a clean stop only: else an engine may run that no pid file tells of.
        running = [engine for engine in self._all if engine.adopt(thorough=state.socket_dir is not None)]
        lost = passwords.just_made or not all(engine.socket_path.exists() for engine in running)
        if running and lost and not alone:
            raise EngineError(
                f"The databases in {data_dir} are in use by a hub whose sockets this process cannot see, or whose "
                "password file was removed. Restart that hub; run this command with the same TMPDIR and outside of "
                "systemd's PrivateTmp."
            )
        for engine in list(running):
            if alone and (lost or engine not in self._wanted):
                engine.stop()
                running.remove(engine)
        if not alone and state.socket_dir:
            restore_socket_dir(around.socket_dir, identity)  # the other users know it
        elif not running:
            if state.socket_dir:
                remove_socket_dir(around.socket_dir, identity)
            around.socket_dir = make_socket_dir(identity)
        state.home, state.socket_dir, state.system = str(home), str(around.socket_dir), this_system()
        state.save()
        deadline = time.monotonic() + _START_SECONDS
        for engine in self._wanted:
            if engine not in running:
                engine.start()
        for engine in self._wanted:
            engine.wait_until_ready(deadline)
        around.passwords = replace(passwords, just_made=False)
        if any(engine.started_by_us for engine in self._wanted) and around.binaries.is_copy:
            self.notices.append(
                f"The databases run from a copy of their programs ({around.binaries.postgres}), because the user "
                f"{identity.name} may not run those that are installed."
            )

    def _revive(self, engine: Engine) -> list[str]:
        if not self._around:
            return []
        if not engine.alive() and engine.adopt(thorough=True):
            return []  # another process was quicker
        now = time.monotonic()
        steady = now - self._last_start.get(engine, -_STEADY_SECONDS) >= _STEADY_SECONDS
        self._pause[engine] = 1.0 if steady else min(2 * self._pause[engine], _LONGEST_PAUSE)
        self._last_start[engine] = now
        how = "its socket was gone" if engine.alive() else engine.ending()
        last = engine.last_lines()[-1:] if not steady else []
        try:
            engine.stop()
            restore_socket_dir(self._around.socket_dir, self._around.identity)
            engine.start()
        except (EngineError, OSError) as error:
            return [f"{engine.title} had stopped ({how}) and could not be started again: {error}"]
        return [
            f"{engine.title} had stopped ({how}) and was started again.",
            *(f"It wrote last: {line}" for line in last),
        ]

    def _stop_all(self) -> None:
        for engine in self._all:
            if not engine.alive():
                engine.adopt(thorough=False)
            engine.ask_to_stop()
        for engine in self._all:
            engine.stop()
        if self._state and self._around and not any(engine.alive() for engine in self._all):
            remove_socket_dir(self._around.socket_dir, self._around.identity)
            self._state.socket_dir = None
            with suppress(FileNotFoundError):  # the data directory was removed meanwhile
                self._state.save()


def start_engines(settings: HubSettings) -> Engines:
    """Start or adopt what the settings do not name servers for; returns when all answer. Raises `EngineError`."""
    kinds: list[type[Engine]] = []
    if settings.redis_url is None:
        kinds.append(Valkey)
    if settings.database_url is None:
        kinds.append(Postgres)
    engines = Engines()
    if not kinds:
        return engines
    try:
        engines._open(settings, kinds)
    except OSError as error:
        engines.close()
        raise EngineError(_explain(error, settings.data_dir)) from error
    except BaseException:  # Ctrl-C too: nothing may be left running
        engines.close()
        raise
    return engines


def _explain(error: OSError, data_dir: Path) -> str:
    place = f" ({error.filename})" if error.filename else ""
    advice = "Set EXAI_DATA_DIR to another folder, on a local disk."
    if isinstance(error, PermissionError):
        advice = "Run the hub as the user who made that folder, or set EXAI_DATA_DIR to another one."
    elif error.errno == errno.ENOSPC:
        advice = "Free some space."
    return f"The databases cannot be started under {data_dir}: {error.strerror}{place}. {advice}"

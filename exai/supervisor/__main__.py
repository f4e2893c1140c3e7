"""`manage.py up`, from reading the settings to the last process that stops."""

import os
import sys
from contextlib import ExitStack, closing

from exai.embedded.engines import start_engines
from exai.embedded.errors import EngineError
from exai.embedded.locks import HubRunningError, hold_hub_lock
from exai.settings.hub import ConfigurationError, HubSettings, parse, read_environment, unknown_variables
from exai.supervisor.announce import announce
from exai.supervisor.children import Child
from exai.supervisor.console import Console, open_standard_streams
from exai.supervisor.credentials import Prepared
from exai.supervisor.exit_codes import CONFIGURATION, CRASHING, OCCUPIED, PREPARATION, HubError, StopRequested
from exai.supervisor.leftovers import ProcessList
from exai.supervisor.logs import Logs
from exai.supervisor.preparation import prepare, told
from exai.supervisor.programs import environment_for_children, web_programs, worker_program
from exai.supervisor.readiness import Readiness
from exai.supervisor.running import RunningHub
from exai.supervisor.secret_key import ensure_secret_key
from exai.supervisor.signals import Signals
from exai.supervisor.sockets import listen

_HELP = """\
usage: manage.py up

Starts the whole hub and keeps it running until Ctrl-C or SIGTERM: PostgreSQL and Valkey (unless DATABASE_URL and
REDIS_URL name others), the web processes, and the worker. It is configured by the environment and .env.

Exit codes: 0 stopped as asked, 2 wrong settings, 3 port or data directory in use, 4 could not be prepared,
5 a process kept crashing."""


def main(argv: list[str]) -> int:
    """The exit code. `argv` is what follows `up`."""
    open_standard_streams()
    console = Console()
    if argv:
        asked = argv[0] in ("-h", "--help")
        (console.say if asked else console.warn)(_HELP if asked else f"up takes no argument {argv[0]!r}\n\n{_HELP}")
        return 0 if asked else CONFIGURATION
    try:
        environment = read_environment()
        settings = parse(environment)
    except ConfigurationError as error:
        console.warn(str(error))
        return CONFIGURATION
    for warning in unknown_variables(environment):
        console.warn(warning)
    signals = Signals()
    signals.install()
    try:
        _run(settings, console, signals)
    except StopRequested:
        pass
    except HubError as error:
        console.warn(str(error))
        return error.exit_code
    finally:
        signals.ignore()
    return 0


def _run(settings: HubSettings, console: Console, signals: Signals) -> None:
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_hub_lock(settings.data_dir))
        except HubRunningError as error:
            raise HubError(str(error), OCCUPIED) from None
        except OSError as error:
            raise HubError(f"EXAI_DATA_DIR={settings.data_dir}: {error.strerror}", CONFIGURATION) from None
        logs = stack.enter_context(Logs(settings.data_dir / "logs"))
        stack.push(lambda kind, error, trace: logs.note(str(error)) if isinstance(error, HubError) else None)

        def tell(sentence: str) -> None:
            console.say(sentence)
            logs.note(sentence)

        processes = ProcessList(settings.data_dir)
        processes.wait_for_leftovers(signals, patience=settings.drain_secs + 12, tell=tell)
        listener = stack.enter_context(closing(listen(settings.host, settings.port)))
        ensure_secret_key(settings)
        try:
            with signals.interrupting():
                engines = start_engines(settings)
        except EngineError as error:
            raise HubError(str(error), PREPARATION) from None
        stack.callback(engines.close)
        for notice in engines.notices:
            tell(notice)
        environment = environment_for_children(engines.environment())
        prepared = prepare(environment, logs=logs, signals=signals, processes=processes)

        # Nobody writes to this pipe: its end tells the children that the supervisor is gone, however it died.
        parent_read, parent_write = os.pipe()
        stack.callback(os.close, parent_write)
        stack.callback(os.close, parent_read)
        web = web_programs(settings, environment, socket_fd=listener.fileno(), parent_fd=parent_read)
        worker = worker_program(settings, environment, parent_fd=parent_read)
        hub = RunningHub(
            web=[Child(program, logs) for program in web],
            worker=Child(worker, logs),
            engines=engines,
            signals=signals,
            processes=processes,
            tell=tell,
        )
        readiness = stack.enter_context(closing(Readiness(settings.local_url, signals.wake)))
        try:
            hub.run(readiness, lambda: _ready(console, settings, prepared, logs))
        except EngineError as error:
            raise HubError(str(error), CRASHING) from None
        finally:
            if signals.stopping:
                tell("Stopping: calls that run may finish; Ctrl-C once more ends them.")
            hub.stop(settings.drain_secs)


def _ready(console: Console, settings: HubSettings, prepared: Prepared, logs: Logs) -> None:
    announce(console, settings, prepared)
    told(settings.data_dir)
    logs.note("ready")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The Celery application: work that no caller waits for, and what happens by the clock.

Every worker carries a scheduler (exai.scheduler); of all of them one at a time works.
`exai.supervisor.programs` has the worker's command line.
"""

import os
import signal
import threading
import warnings
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import setup_logging, worker_init

from exai.logs import configure_logs
from exai.settings.hub import hub_settings
from exai.supervisor.parent import when_parent_dies
from exai.supervisor.programs import PARENT_FD_VARIABLE

KEY_PREFIX = "exai:"


def broker_url(url: str) -> str:
    """The same server in kombu's notation, which differs in unix sockets, the database and TLS options.

    Sources: `redis.connection.parse_url` and `kombu.transport.redis.Channel._connparams`.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    database = query.get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0] or "0"
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?{urlencode({'virtual_host': database})}"
    options = {name: values[0] for name, values in query.items() if name.startswith("ssl_")}
    if parts.scheme == "rediss":
        # redis-py checks certificates unless told otherwise; kombu does not.
        options.setdefault("ssl_cert_reqs", "required")
    tail = f"?{urlencode(options)}" if options else ""
    return f"{parts.scheme}://{parts.netloc}/{quote(database)}{tail}"


def redis_url() -> str:
    url = hub_settings().redis_url
    # Without one nothing answers, as with the database; only commands that send no task come that far.
    return url.get_secret_value() if url else "unix:///nonexistent"


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exai.settings.project")

app = Celery("exai")
app.config_from_object(
    {
        "broker_url": broker_url(redis_url()),
        "broker_transport_options": {"global_keyprefix": KEY_PREFIX, "socket_timeout": 10, "socket_connect_timeout": 5},
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_ignore_result": True,
        "result_expires": None,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A worker that dies gives its tasks back. They can all bear to run twice.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule": {
            "conversations.remove_expired": {
                "task": "conversations.remove_expired",
                "schedule": 3600.0,
                # One that waited for a worker until the next is due is not needed any more.
                "options": {"expires": 3600.0},
            },
            "conversations.remove_orphaned_files": {
                "task": "conversations.remove_orphaned_files",
                "schedule": 3600.0,
                "options": {"expires": 3600.0},
            },
            "conversations.find_words": {
                "task": "conversations.find_words",
                "schedule": 5.0,
                "options": {"expires": 5.0},
            },
        },
    }
)
app.autodiscover_tasks()
app.steps["worker"].add("exai.scheduler:SchedulerStep")


# The worker warns root of messages that carry code. Ours are JSON.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
# And at each lost connection of a default that a later version may change.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    configure_logs(hub_settings())


@worker_init.connect
def _stop_with_the_supervisor(**_: Any) -> None:
    """A worker whose supervisor died finishes its tasks and stops; after the time for draining it just ends."""
    fd = os.environ.pop(PARENT_FD_VARIABLE, None)
    if fd is None:
        return

    def stop() -> None:
        limit = threading.Timer(hub_settings().drain_secs, os._exit, (1,))
        limit.daemon = True
        limit.start()
        os.kill(os.getpid(), signal.SIGTERM)

    when_parent_dies(int(fd), stop)

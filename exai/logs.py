"""Logging of every process of the hub: structured lines on stderr, with no secret in them."""

import logging
import sys
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict, WrappedLogger

from exai.settings.hub import HubSettings

_HIDDEN = "…"
_learnt: set[str] = set()  # secrets that became known since the start
_SHORTEST_PASSWORD = 8  # a shorter one of a URL, such as `exai`, is an ordinary word in many lines
# Chatty below these levels: uvicorn tells of every connection.
_QUIETER = {
    "asyncio": logging.WARNING,
    "uvicorn": logging.WARNING,
    "celery": logging.INFO,
    "psycopg.pool": logging.ERROR,
}


def hide_from_logs(secrets: Iterable[str]) -> None:
    """Hides these as the configured ones are: keys that are kept in the database."""
    _learnt.update(secret for secret in secrets if secret)


def configure_logs(settings: HubSettings) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.processors.KeyValueRenderer(
            key_order=["timestamp", "level", "logger", "event"], drop_missing=True
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _SecretRemover(settings), renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIETER.items():
        logging.getLogger(name).setLevel(max(level, logging.getLevelName(settings.log_level)))


class _SecretRemover:
    """Replaces every configured secret, wherever in a line it got to: in a message, a traceback, a URL."""

    def __init__(self, settings: HubSettings) -> None:
        self._secrets = sorted(set(_secrets_of(settings)), key=len, reverse=True)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            if isinstance(value, str):
                for secret in (*self._secrets, *sorted(_learnt, key=len, reverse=True)):
                    value = value.replace(secret, _HIDDEN)
                event[key] = value
        return event


def _secrets_of(settings: BaseModel) -> Iterator[str]:
    for _, value in settings:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, SecretStr) and part.get_secret_value():
                yield part.get_secret_value()
                yield from _password_in(part.get_secret_value())
            elif isinstance(part, BaseModel):
                yield from _secrets_of(part)


def _password_in(secret: str) -> Iterator[str]:
    """The password of a database's URL, as it stands there and as it is: libraries tell of a server without the rest
    of its URL."""
    try:
        password = urlsplit(secret).password
    except ValueError:
        return  # a key, not a URL
    if password and len(password) >= _SHORTEST_PASSWORD:
        yield password
        yield unquote(password)

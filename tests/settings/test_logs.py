"""What is logged holds no configured secret, wherever in a line it got to."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO

import pytest

from exai.logs import configure_logs, hide_from_logs
from exai.settings.hub import parse

SECRETS = {
    "KIMI_API_KEY": "sk-moonshot-0123456789",
    "ZAI_API_KEY": "sk-glm-0123456789",
    "EXAI_WS_TOKEN": "token-0123456789-0123456789-0123456789",
    "EXAI_SECRET_KEY": "signing-0123456789-0123456789-0123456789",
    "DATABASE_URL": "postgresql://exai:pa55%2Fword-0123@db.example/exai",
    "REDIS_URL": "rediss://:cache-password-4567@cache.example:6379/0",
    "EXAI_ENDPOINTS": '[{"name":"a","url":"http://a/v1","key":"sk-endpoint-0123456789","models":["m"]}]',
}
HIDDEN = [value for name, value in SECRETS.items() if name != "EXAI_ENDPOINTS"]
HIDDEN += ["sk-endpoint-0123456789", "pa55%2Fword-0123", "pa55/word-0123", "cache-password-4567"]
FORMATS = ["json", "text"]

logger = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("asyncio", "uvicorn", "celery", "psycopg.pool"))]
    levels, handlers = [logger.level for logger in loggers], root.handlers[:]
    yield
    root.handlers[:] = handlers
    for restored, level in zip(loggers, levels, strict=True):
        restored.setLevel(level)


def configured(**environment: str) -> StringIO:
    """Logs as a process of the hub with these settings does, but into this text instead of stderr."""
    configure_logs(parse(environment))
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
    lines = StringIO()
    handler.setStream(lines)
    return lines


@pytest.mark.parametrize("secret", HIDDEN)
@pytest.mark.parametrize("log_format", FORMATS)
def test_a_secret_leaves_no_trace_in_a_line(log_format: str, secret: str) -> None:
    lines = configured(**SECRETS, EXAI_LOG_FORMAT=log_format)
    logger.warning("message before %s after", secret)
    written_out = f"written out {secret}"
    logger.warning(written_out)
    logger.warning("inside %s", {"headers": [f"Bearer {secret}"]})
    logger.warning("bytes %r", secret.encode())
    logging.getLogger(f"named.{secret}").warning("a logger's name")
    assert secret not in lines.getvalue()
    assert lines.getvalue().count("…") + lines.getvalue().count("\\u2026") == 5


@pytest.mark.parametrize("secret", HIDDEN)
@pytest.mark.parametrize("log_format", FORMATS)
def test_a_secret_leaves_no_trace_in_a_traceback(log_format: str, secret: str) -> None:
    lines = configured(**SECRETS, EXAI_LOG_FORMAT=log_format)
    try:
        try:
            raise ValueError(f"the cause, {secret}")
        except ValueError as cause:
            raise RuntimeError(f"cannot connect with {secret}") from cause
    except RuntimeError:
        logger.exception("it failed")
    assert secret not in lines.getvalue()
    assert "RuntimeError: cannot connect with" in lines.getvalue()
    assert "ValueError: the cause" in lines.getvalue()


def test_a_secret_inside_another_is_removed_with_it() -> None:
    lines = configured(KIMI_API_KEY="sk-long", ZAI_API_KEY="sk-long-and-longer")
    logger.warning("sk-long-and-longer sk-long")
    assert json.loads(lines.getvalue())["event"] == "… …"


def test_short_passwords_of_urls_do_not_tear_words_apart() -> None:
    lines = configured(DATABASE_URL="postgresql://exai:exai@localhost/exai")
    logging.getLogger("exai.gateway").warning("exai is ready at postgresql://exai:exai@localhost/exai")
    line = json.loads(lines.getvalue())
    assert (line["logger"], line["event"]) == ("exai.gateway", "exai is ready at …")


def test_a_line_in_json_has_time_level_logger_and_event() -> None:
    lines = configured(EXAI_LOG_FORMAT="json")
    logger.info("ready after %d ms", 7)
    line = json.loads(lines.getvalue())
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {"level": "info", "logger": "tests.logs", "event": "ready after 7 ms"}


def test_a_line_in_text_has_time_level_logger_and_event() -> None:
    lines = configured(EXAI_LOG_FORMAT="text")
    logger.info("ready after %d ms", 7)
    assert lines.getvalue().startswith("timestamp='20")
    assert lines.getvalue().endswith(" level='info' logger='tests.logs' event='ready after 7 ms'\n")


def test_lines_below_the_configured_level_are_not_written() -> None:
    lines = configured(EXAI_LOG_LEVEL="ERROR")
    logger.warning("not this")
    logging.getLogger("uvicorn").warning("nor this")
    logger.error("this")
    assert json.loads(lines.getvalue())["event"] == "this"


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_chatty_libraries_are_quieter(level: str) -> None:
    lines = configured(EXAI_LOG_LEVEL=level)
    logging.getLogger("uvicorn.error").info("connection open")
    logging.getLogger("psycopg.pool").warning("reconnecting")
    assert lines.getvalue() == ""


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_secret_that_became_known_later_leaves_no_trace_either(log_format: str) -> None:
    lines = configured(EXAI_LOG_FORMAT=log_format)
    hide_from_logs(["sk-of-the-admin-0123456789", ""])
    logger.warning("with %s", {"authorization": "Bearer sk-of-the-admin-0123456789"})
    assert "sk-of-the-admin" not in lines.getvalue()
    assert "with" in lines.getvalue()

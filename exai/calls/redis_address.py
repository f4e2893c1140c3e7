"""Where Redis is and how a connection introduces itself: a URL in redis-py's notation, read."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

_VERIFY_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_NO = ("0", "f", "false", "n", "no")
_TLS_OPTIONS = {
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
}


# No generated repr: it would show the password.
@dataclass(frozen=True, repr=False)
class RedisAddress:
    """Either a unix socket's path, or a host and port."""

    path: str | None
    host: str
    port: int
    username: str | None
    password: str | None
    database: int
    tls: ssl.SSLContext | None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Raises `ValueError`, and `OSError` when a file of certificates cannot be read. No message repeats the URL."""
        try:
            parts = urlsplit(url)
        except ValueError:
            # The message of that error may repeat the password.
            raise ValueError(
                "The Redis URL cannot be read; special characters of a password are written %XX."
            ) from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("A Redis URL begins with redis://, rediss:// or unix://.")
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        database = options.get("db", "" if parts.scheme == "unix" else unquote(parts.path).strip("/")) or "0"
        if not (database.isascii() and database.isdigit()):
            raise ValueError("The database of a Redis URL is a number.")
        try:
            port = parts.port or 6379
        except ValueError:
            # The message of that error repeats a piece of the password where one holds an unescaped character.
            raise ValueError("The port of a Redis URL is a number from 1 to 65535.") from None
        return cls(
            path=unquote(parts.path) if parts.scheme == "unix" else None,
            host=unquote(parts.hostname or "localhost"),
            port=port,
            username=unquote(parts.username or "") or options.get("username"),
            password=unquote(parts.password or "") or options.get("password"),
            database=int(database),
            tls=_tls_context(options) if parts.scheme == "rediss" else None,
        )

    async def connect(self, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()

        def factory() -> asyncio.Protocol:
            return protocol

        if self.path is not None:
            await loop.create_unix_connection(factory, self.path)
        else:
            await loop.create_connection(factory, self.host, self.port, ssl=self.tls)

    def introduction(self) -> list[tuple[str, tuple[str | int, ...]]]:
        """The first commands of a connection, each with what it is that Redis refuses if it does."""
        steps: list[tuple[str, tuple[str | int, ...]]] = []
        if self.password is not None:
            user = (self.username,) if self.username is not None else ()
            steps.append(("the user name or password", ("AUTH", *user, self.password)))
        if self.database:
            steps.append((f"database {self.database}", ("SELECT", self.database)))
        # Refused without a password where one is needed, while data is being loaded, and the like.
        steps.append(("commands", ("PING",)))
        return steps


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """redis-py's options, with its defaults: certificates and host names are verified."""
    if unknown := {name for name in options if name.startswith("ssl_")} - _TLS_OPTIONS:
        raise ValueError(f"The Redis URL has an option that is not supported: {min(unknown)}.")
    mode = options.get("ssl_cert_reqs", "required")
    if mode not in _VERIFY_MODES:
        raise ValueError("ssl_cert_reqs of a Redis URL is none, optional or required.")
    context = ssl.create_default_context()
    # In this order: a context that checks host names cannot stop to verify.
    context.check_hostname = mode != "none" and options.get("ssl_check_hostname", "").lower() not in _NO
    context.verify_mode = _VERIFY_MODES[mode]
    authorities = [options.get(name) for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data")]
    if any(authorities):
        context.load_verify_locations(*authorities)
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile"), options.get("ssl_password"))
    return context

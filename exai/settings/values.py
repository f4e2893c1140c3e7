"""The kinds of value that settings take, beyond pydantic's own. No message repeats a value that may be secret."""

import ipaddress
import json
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

_BAD_PORT = "should have a port from 1 to 65535; special characters of a password are written %XX"


def _split_at_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError("should be JSON (it is nested too deeply)") from None
    except ValueError as error:
        # Only the place: the text may hold keys.
        place = f" (it breaks at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"should be JSON{place}") from None


def _split_url(url: str, *schemes: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in schemes:
        raise ValueError("should be a URL: " + " or ".join(f"{scheme}://…" for scheme in schemes))
    return parts


def _check_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        # The message of that error repeats a piece of the password where one holds an unescaped / or #.
        raise ValueError(_BAD_PORT) from None


def _http_url(url: str) -> str:
    parts = _split_url(url, "https", "http")
    _check_port(parts)
    if not parts.hostname:
        raise ValueError("should be a URL with a host: https://HOST/…")
    if "@" in parts.netloc:
        # Such an address is shown in messages, and HTTP takes no second way to authenticate beside a key.
        raise ValueError("should hold no user and password")
    if "?" in url or "#" in url or not url.isprintable() or " " in url:
        # Paths are put after it; and some would write a key there, which would then show wherever the address does.
        raise ValueError("should end with its path: no ? and no #, no spaces")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("should be a URL with the name of a host: https://HOST/…") from None
    return url.rstrip("/")


def _postgresql_url(url: SecretStr) -> SecretStr:
    _split_url(url.get_secret_value(), "postgresql", "postgres")
    # Its library takes time to load, and most hubs have no such URL.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(url.get_secret_value())
    except ProgrammingError:
        # The message of that error repeats the password.
        raise ValueError(
            "should be postgresql://USER:PASSWORD@HOST:PORT/NAME, with %XX for special characters in the password"
        ) from None
    return url


def _redis_url(url: SecretStr) -> SecretStr:
    _check_port(_split_url(url.get_secret_value(), "redis", "rediss", "unix"))
    return url


def _api_key(key: SecretStr) -> SecretStr:
    """A key travels in an HTTP header, where a line end that came along from a file would break every request."""
    plain = key.get_secret_value().strip()
    if not plain.isascii() or not plain.isprintable() or " " in plain:
        raise ValueError("should be one word of printable ASCII characters")
    return SecretStr(plain)


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"should be addresses or networks separated by commas: {error}") from None


Networks = Annotated[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(_networks)]
CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split_at_commas)]
Json = BeforeValidator(_read_json)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
# URLs of databases are secrets: they may hold a password.
PostgresqlUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]

"""The kinds of value that settings take, beyond pydantic's own. No message repeats a value that may be secret."""

import json
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


def _split_at_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        # Only the place: the text may hold keys.
        place = f" (it breaks at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"should be JSON{place}") from None


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in schemes:
        raise ValueError("should be a URL: " + " or ".join(f"{scheme}://…" for scheme in schemes))


def _http_url(url: str) -> str:
    _check_scheme(url, ("https", "http"))
    return url.rstrip("/")


def _postgresql_url(url: SecretStr) -> SecretStr:
    _check_scheme(url.get_secret_value(), ("postgresql", "postgres"))
    return url


def _redis_url(url: SecretStr) -> SecretStr:
    _check_scheme(url.get_secret_value(), ("redis", "rediss", "unix"))
    return url


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split_at_commas)]
Json = BeforeValidator(_read_json)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
# URLs of databases are secrets: they may hold a password.
PostgresqlUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]

"""URLs of Redis, read as redis-py reads them."""

import ssl

import pytest
from redis.asyncio.connection import parse_url

from exai.calls.redis_address import RedisAddress


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache.example",
        "redis://cache.example:6380/3",
        "redis://cache.example/3?db=4",
        "redis://:p%40ss%2Fw%23rd@cache.example/1",
        "redis://user:password@[::1]:7000",
        "redis://cache.example?username=user&password=p%2520w",
        "unix:///run/valkey.sock",
        "unix://:password@/run/a%20folder/valkey.sock?db=2",
        "unix://user:password@/run/valkey.sock",
    ],
)
def test_a_url_means_what_it_means_to_redis_py(url: str) -> None:
    address, theirs = RedisAddress.from_url(url), dict(parse_url(url))
    theirs.pop("connection_class", None)
    ours = {
        "path": address.path,
        "host": None if address.path else address.host,
        "port": None if address.path else address.port,
        "username": address.username,
        "password": address.password,
        "db": address.database,
    }
    if not address.path:
        theirs.setdefault("port", 6379)
    theirs.setdefault("db", 0)
    assert {name: value for name, value in ours.items() if value is not None} == theirs


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@cache.example",
        "redis://:hunter2\u2100@cache.example",
        "redis://:hunter2/x@cache.example",
        "redis://:hunter2@cache.example/first",
        "redis://:hunter2@cache.example?db=-1",
        "rediss://:hunter2@cache.example?ssl_cert_reqs=maybe",
        "rediss://:hunter2@cache.example?ssl_ciphers=NONE",
        "rediss://:hunter2@cache.example?ssl_ca_certs=/nonexistent",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises((ValueError, OSError)) as refusal:
        RedisAddress.from_url(url)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_an_address_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(RedisAddress.from_url("redis://:hunter2@cache.example"))


@pytest.mark.parametrize(
    ("options", "mode", "checks_host"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
    ],
)
def test_certificates_are_verified_unless_the_url_says_otherwise(
    options: str, mode: ssl.VerifyMode, checks_host: bool
) -> None:
    tls = RedisAddress.from_url(f"rediss://cache.example{options}").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (mode, checks_host)


def test_without_tls_in_the_scheme_there_is_none() -> None:
    assert RedisAddress.from_url("redis://cache.example?ssl_cert_reqs=required").tls is None

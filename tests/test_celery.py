"""The worker's broker: the same server as everywhere, in kombu's notation."""

from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection
from kombu.transport.redis import Channel

from exai.celery import broker_url


@pytest.mark.parametrize(
    ("redis_url", "kombu_url"),
    [
        ("redis://cache.example:6380/3", "redis://cache.example:6380/3"),
        ("redis://cache.example", "redis://cache.example/0"),
        ("redis://user:p%40ss@cache.example/?db=2&protocol=3", "redis://user:p%40ss@cache.example/2"),
        ("rediss://cache.example/1", "rediss://cache.example/1?ssl_cert_reqs=required"),
        ("rediss://cache.example/1?ssl_cert_reqs=none", "rediss://cache.example/1?ssl_cert_reqs=none"),
        ("unix://:p%40ss@/run/a%20b/valkey.sock?db=4", "redis+socket://:p%40ss@/run/a%20b/valkey.sock?virtual_host=4"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
    ],
)
def test_a_redis_url_is_given_in_kombus_notation(redis_url: str, kombu_url: str) -> None:
    assert broker_url(redis_url) == kombu_url


@pytest.mark.parametrize(
    ("redis_url", "expected"),
    [
        ("unix://:p%40ss@/run/a%20b/valkey.sock?db=4", {"path": "/run/a b/valkey.sock", "password": "p@ss", "db": 4}),
        ("redis://user:p%40ss@cache.example/3", {"host": "cache.example", "password": "p@ss", "db": 3}),
        ("redis://[::1]:6380/1", {"host": "::1", "port": 6380, "db": 1}),
    ],
)
def test_kombu_understands_it_as_redis_py_does(redis_url: str, expected: dict[str, object]) -> None:
    connection = Connection(broker_url(redis_url))
    parameters = channel_of(connection)._connparams()
    assert {name: parameters[name] for name in expected} == expected


@pytest.mark.parametrize("redis_url", ["unix://:hidden-word@/run/valkey.sock", "redis://:hidden-word@cache.example"])
def test_the_password_is_not_in_the_address_that_the_worker_logs(redis_url: str) -> None:
    assert "hidden-word" not in Connection(broker_url(redis_url)).as_uri()


def channel_of(connection: Connection) -> Any:
    """A channel that is not connected."""
    channel: Any = Channel.__new__(Channel)
    channel.connection = SimpleNamespace(client=connection, default_port=6379)
    return channel

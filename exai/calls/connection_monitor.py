"""The connections of all web processes, as they are published in Redis, and the word that closes one. For pages:
synchronous."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from exai.calls import keys
from exai.calls.connection_registry import DISCONNECT, ConnectionFigures, published_by
from exai.calls.redis_link import RedisAway

if TYPE_CHECKING:
    from redis import Redis

_PATIENCE_S = 1.0

_decoder = msgspec.json.Decoder(list[ConnectionFigures])


class PublishedConnections(msgspec.Struct):
    """`unreadable` are processes whose list this version cannot read: they run another one."""

    connections: list[ConnectionFigures]
    unreadable: list[str]


def read_connections(url: str) -> PublishedConnections:
    """The connections of all living processes, newest first. Raises `RedisAway`."""
    seen = PublishedConnections([], [])
    with _redis(url) as redis:
        # redis-py's types leave open what comes back.
        members: list[Any] = list(redis.zrange(keys.PROCESSES, 0, -1))
        processes = [member.decode() for member in members]
        lists: list[Any] = list(redis.mget([published_by(process) for process in processes])) if processes else []
    for process, published in zip(processes, lists, strict=True):
        if published is None:
            continue  # dead, or it has had no connection yet
        try:
            seen.connections += _decoder.decode(published)
        except msgspec.DecodeError:
            seen.unreadable.append(process)
    seen.connections.sort(key=lambda connection: connection.since, reverse=True)
    return seen


def tell_to_disconnect(url: str, connection: ConnectionFigures) -> bool:
    """Whether the process that holds it heard it; it then closes the connection at once. Raises `RedisAway`."""
    with _redis(url) as redis:
        heard = redis.publish(keys.control_channel(connection.process), f"{DISCONNECT} {connection.id}")
    return int(heard) > 0


@contextmanager
def _redis(url: str) -> Iterator["Redis"]:
    # Imported here: it takes 7 MB, which only a process that is asked for the page should pay.
    from redis import Redis, exceptions
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    redis = Redis.from_url(
        url, socket_timeout=_PATIENCE_S, socket_connect_timeout=_PATIENCE_S, retry=Retry(NoBackoff(), 0)
    )
    try:
        yield redis
    # In words of our own: the messages of these errors may hold the address.
    except exceptions.TimeoutError:
        raise RedisAway(f"no answer within {_PATIENCE_S:g} s") from None
    except exceptions.AuthenticationError:
        raise RedisAway("it refuses the user name or password") from None
    except exceptions.ConnectionError:
        raise RedisAway("it cannot be reached") from None
    except exceptions.RedisError as error:
        raise RedisAway(type(error).__name__) from None
    finally:
        redis.close()

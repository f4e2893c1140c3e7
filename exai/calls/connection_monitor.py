"""The connections of all web processes, as they are published in Redis, and the word that closes one. For pages:
synchronous."""

from typing import Any

import msgspec

from exai.calls import keys
from exai.calls.connection_registry import DISCONNECT, ConnectionFigures, published_by
from exai.calls.page_redis import page_redis

_decoder = msgspec.json.Decoder(list[ConnectionFigures])


class PublishedConnections(msgspec.Struct):
    """`unreadable` are processes whose list this version cannot read: they run another one."""

    connections: list[ConnectionFigures]
    unreadable: list[str]


def read_connections(url: str) -> PublishedConnections:
    """The connections of all living processes, newest first. Raises `RedisAway`."""
    seen = PublishedConnections([], [])
    with page_redis(url) as redis:
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
    with page_redis(url) as redis:
        heard = redis.publish(keys.control_channel(connection.process), f"{DISCONNECT} {connection.id}")
    return int(heard) > 0

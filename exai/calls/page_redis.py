"""Redis for pages: synchronous, and soon given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exai.calls.redis_link import RedisAway

if TYPE_CHECKING:
    from redis import Redis

_PATIENCE_S = 1.0


@contextmanager
def page_redis(url: str) -> Iterator["Redis"]:
    """Raises `RedisAway`, also for what goes wrong inside."""
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

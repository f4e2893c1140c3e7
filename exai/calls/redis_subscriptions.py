"""Redis's channels on one connection of their own, subscribed anew whenever it was lost."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from exai.calls.redis_address import RedisAddress
from exai.calls.redis_connection import RedisAway, RedisConnection, RedisRefused, ignore_reply, pack
from exai.calls.redis_line import RedisLine

logger = logging.getLogger(__name__)


class Subscription:
    """Messages come until it is closed; those that are published while Redis is away are missed."""

    def __init__(
        self,
        subscriptions: "Subscriptions",
        channel: bytes,
        on_message: Callable[[bytes], None],
        on_resumed: Callable[[], None] | None,
    ) -> None:
        self.channel = channel
        self.on_message = on_message
        self.on_resumed = on_resumed
        self._subscriptions = subscriptions

    def close(self) -> None:
        """May be called again."""
        self._subscriptions.remove(self)


class Subscriptions:
    def __init__(self, address: RedisAddress, *, patience_s: float) -> None:
        self._line = RedisLine(
            address,
            patience_s=patience_s,
            title="Redis (channels)",
            on_return=self._subscribe_anew,
            on_message=self._deliver,
        )
        self._by_channel: dict[bytes, list[Subscription]] = {}

    async def add(
        self, channel: str, on_message: Callable[[bytes], None], on_resumed: Callable[[], None] | None
    ) -> Subscription:
        if self._line.closed:
            raise RedisAway("the link is closed")
        subscription = Subscription(self, channel.encode(), on_message, on_resumed)
        self._by_channel.setdefault(subscription.channel, []).append(subscription)
        try:
            await (self._line.connection or self._line.start()).ask(pack(("SUBSCRIBE", subscription.channel)))
        except RedisAway:
            return subscription  # it takes hold when Redis is back
        except (RedisRefused, asyncio.CancelledError):
            subscription.close()
            raise
        return subscription

    def remove(self, subscription: Subscription) -> None:
        others = self._by_channel.get(subscription.channel, [])
        if subscription not in others:
            return
        others.remove(subscription)
        if not others:
            del self._by_channel[subscription.channel]
            if (connection := self._line.connection) is not None:
                connection.post(pack(("UNSUBSCRIBE", subscription.channel)), ignore_reply)

    async def close(self) -> None:
        self._by_channel.clear()
        await self._line.close()

    def _subscribe_anew(self, connection: RedisConnection) -> None:
        for channel in self._by_channel:

            def resumed(reply: Any, channel: bytes = channel) -> None:
                self._resumed(channel, reply)

            connection.post(pack(("SUBSCRIBE", channel)), resumed)

    def _resumed(self, channel: bytes, reply: Any) -> None:
        if isinstance(reply, RedisRefused):
            logger.error("Redis refused to subscribe a channel again: %s", reply.code)
            return
        for subscription in tuple(self._by_channel.get(channel, ())):
            if subscription.on_resumed is not None:
                self._call(subscription.on_resumed)

    def _deliver(self, channel: bytes, message: bytes) -> None:
        for subscription in tuple(self._by_channel.get(channel, ())):
            self._call(subscription.on_message, message)

    def _call(self, receiver: Callable[..., None], *arguments: bytes) -> None:
        try:
            receiver(*arguments)
        except Exception:  # one receiver's fault must not end the connection of all
            logger.exception("A subscriber to a Redis channel failed")

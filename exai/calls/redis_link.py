"""The hot path's way to Redis: one connection, the commands of all coroutines pipelined. Everything else uses redis-py.

A pooled client takes a connection a command and several times the CPU.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from exai.calls.redis_address import RedisAddress
from exai.calls.redis_connection import Part, RedisAway, RedisConnection, RedisRefused, pack
from exai.calls.redis_line import RedisLine
from exai.calls.redis_subscriptions import Subscription, Subscriptions

__all__ = ["RedisAway", "RedisLink", "RedisRefused", "Script", "Subscription"]

logger = logging.getLogger(__name__)

_COMPLAINT_EVERY_S = 10.0
# A server that answers so cannot serve: full, read-only, loading, without its master.
_UNABLE = frozenset(
    {"OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "TRYAGAIN"}
)


class Script:
    """A Lua script that Redis runs as one command."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _as_away(refusal: RedisRefused) -> RedisAway | RedisRefused:
    # A script's error wraps the command's: ERR … OOM command not allowed …
    unable = refusal.code in _UNABLE or any(f"{code} " in str(refusal)[:80] for code in _UNABLE)
    return RedisAway(f"it cannot serve ({refusal.code})") if unable else refusal


class RedisLink:
    """Belongs to the event loop that uses it first; connects then. `url` is in redis-py's notation, and may be secret.

    For commands that answer at once, with one reply: none that block, subscribe, or open a transaction.
    An error nested in a list reply stands in it as a `RedisRefused`.
    """

    def __init__(self, url: str, *, patience_s: float = 1.0) -> None:
        address = RedisAddress.from_url(url)
        self._line = RedisLine(address, patience_s=patience_s)
        self._subscriptions = Subscriptions(address, patience_s=patience_s)
        self._complained_at = -_COMPLAINT_EVERY_S
        self._unreported = 0

    @property
    def away(self) -> bool:
        """Known to be unreachable right now: commands then raise `RedisAway` at once, without waiting."""
        return self._line.away

    @property
    def losses(self) -> int:
        """How often the connection broke: what was only sent since the last time may never have arrived."""
        return self._line.losses

    async def command(self, name: str, *parts: Part) -> Any:
        """The reply: bytes, int, list or None. Raises `RedisAway` and `RedisRefused`.

        After `RedisAway` Redis may have run the command all the same.
        """
        try:
            return await (self._line.connection or self._line.start()).ask(pack((name, *parts)))
        except RedisRefused as refusal:
            raise _as_away(refusal) from None

    def send(self, name: str, *parts: Part, lazily: bool = True) -> None:
        """Without waiting for the reply; dropped while Redis is away. `lazily`: with the next command or a moment
        later."""
        packet = pack((name, *parts))
        try:
            (self._line.connection or self._line.start()).post(packet, self._check_dropped, lazily=lazily)
        except RedisAway:
            return

    async def script(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Part] = (), *, lazily: bool = False
    ) -> Any:
        """As `command`. `lazily`: it may go out with the next command, or a moment later."""
        parts = (len(keys), *keys, *arguments)
        packet = pack(("EVALSHA", script.sha, *parts))
        try:
            return await self._with_script(script).ask(packet, lazily=lazily)
        except RedisRefused as refusal:
            if refusal.code != "NOSCRIPT":
                raise _as_away(refusal) from None
        return await self.command("EVAL", script.text, *parts)

    def send_script(self, script: Script, keys: Sequence[str], arguments: Sequence[Part] = ()) -> None:
        """As `send`. After a SCRIPT FLUSH elsewhere, those that were under way run later than what was sent after."""
        parts = (len(keys), *keys, *arguments)
        packet = pack(("EVALSHA", script.sha, *parts))

        def check(reply: Any) -> None:
            if isinstance(reply, RedisRefused) and reply.code == "NOSCRIPT":
                self.send("EVAL", script.text, *parts)
            else:
                self._check_dropped(reply)

        try:
            self._with_script(script).post(packet, check, lazily=True)
        except RedisAway:
            return

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        *,
        on_resumed: Callable[[], None] | None = None,
    ) -> Subscription:
        """Redis delivers from now on; if it is away, from when it is back. Raises `RedisRefused`.

        `on_resumed` is called when the channel is subscribed again after messages may have been missed. All channels
        of a server are shared by its databases.
        """
        return await self._subscriptions.add(channel, on_message, on_resumed)

    async def close(self) -> None:
        """What was sent before is still delivered if Redis answers."""
        await self._line.close()
        await self._subscriptions.close()

    def _with_script(self, script: Script) -> RedisConnection:
        """A connection over which Redis knows the script, unless somebody flushes them."""
        connection = self._line.connection or self._line.start()
        if script.sha not in connection.loaded_scripts:
            connection.loaded_scripts.add(script.sha)
            connection.post(pack(("SCRIPT", "LOAD", script.text)), self._check_dropped)
        return connection

    def _check_dropped(self, reply: Any) -> None:
        if not isinstance(reply, RedisRefused):
            return
        self._unreported += 1
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAINT_EVERY_S:
            logger.error("Redis refused %d commands that nobody waits for; the last: %.200s", self._unreported, reply)
            self._complained_at, self._unreported = now, 0

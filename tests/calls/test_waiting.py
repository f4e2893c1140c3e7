"""Waiting for a slot: whoever is given one hears of it at once."""

import asyncio
import time

import pytest
import redis

from exai.calls import keys, scripts, waiting
from exai.calls.process import Process
from exai.calls.provider_slots import SharedProviderSlots
from exai.calls.waiting import Grants
from tests.calls.links import a_link
from tests.calls.own_valkey import own_valkey

_POOL = keys.provider_slots("kimi")
_ANSWERED_WITHIN_S = 0.1


def _is_queued(client: redis.Redis) -> bool:
    """Whether somebody waits for the slot; the event loop stands still meanwhile."""
    give_up_at = time.monotonic() + _ANSWERED_WITHIN_S
    while time.monotonic() < give_up_at:
        if client.hlen(keys.waiting(_POOL)):
            return True
    return False


async def test_a_slot_that_comes_free_in_the_very_moment_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL_S", 60.0)
    with own_valkey() as valkey, valkey.client() as client:
        async with a_link(valkey.url) as link:
            process = Process(link, lease_s=8)
            slots = SharedProviderSlots(link, process, Grants(link, process), longest_wait_s=60, most_waiting=10)
            await process.start()
            client.zadd(_POOL, {"other": (time.time() + 60) * 1000})

            async def use() -> None:
                async with slots.slot("kimi", most=1, asker=None):
                    pass

            using = asyncio.create_task(use())
            for _ in range(50):  # turns of the loop
                if _is_queued(client):
                    break
                await asyncio.sleep(0)
            # The event loop has not read yet that it has to wait; together with that it finds the grant.
            client.eval(scripts.GIVE_SLOT_BACK.text, 0, 8000, _POOL, "other", "", 0, 0)
            client.ping()  # what the script told others is with them now
            async with asyncio.timeout(20):
                await using
            await process.stop()

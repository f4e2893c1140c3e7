"""Who is let in, who waits and who is refused, with Redis there, gone and back."""

import asyncio

import pytest

from exai.calls import keys
from exai.calls.admission import KnownCall
from exai.calls.limits import Slot
from exai.calls.provider_slots import SharedProviderSlots
from exai.calls.waiting import Grants
from exai.protocol.errors import OverCapacity
from tests.calls.links import until
from tests.calls.own_valkey import OwnValkey
from tests.calls.rig import Rig, all_of, asked_call, nobody_hears


async def test_no_more_calls_wait_than_are_allowed(rig: Rig) -> None:
    await rig.admission.admit(asked_call("runs", most=1), nobody_hears)
    waiting = [
        asyncio.create_task(
            rig.admission.admit(asked_call(f"waits-{number}", session=f"1:{number}", most=1), nobody_hears)
        )
        for number in range(10)
    ]
    for _ in range(100):
        if await rig.link.command("HLEN", keys.waiting(keys.GLOBAL_SLOTS)) == 10:
            break
        await asyncio.sleep(0.01)
    with pytest.raises(OverCapacity) as refused:
        await rig.admission.admit(asked_call("too many", most=1), nobody_hears)
    assert refused.value.details["retry_after"] >= 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_that_waits_is_let_in_by_half_of_the_limits_when_redis_goes_away(
    rig: Rig, valkey: OwnValkey
) -> None:
    await rig.admission.admit(asked_call("runs", most=1), nobody_hears)
    waits = asked_call("waits", most=1)
    waiting = asyncio.create_task(rig.admission.admit(waits, nobody_hears))
    for _ in range(100):
        if await rig.link.command("HLEN", keys.waiting(keys.GLOBAL_SLOTS)):
            break
        await asyncio.sleep(0.01)
    await asyncio.to_thread(valkey.kill)
    try:
        async with asyncio.timeout(4):
            await waiting
    finally:
        await asyncio.to_thread(valkey.start_again)
    assert waits.standing.name == "COUNTED_HERE"


async def test_a_waiting_call_that_redis_forgot_stands_in_the_queue_again(rig: Rig, valkey: OwnValkey) -> None:
    runs = asked_call("runs", most=1)
    await rig.admission.admit(runs, nobody_hears)
    waiting = asyncio.create_task(rig.admission.admit(asked_call("waits", most=1), nobody_hears))
    for _ in range(100):
        if await rig.link.command("HLEN", keys.waiting(keys.GLOBAL_SLOTS)):
            break
        await asyncio.sleep(0.01)
    pool = keys.GLOBAL_SLOTS
    await rig.link.command("DEL", keys.waiting(pool), f"{pool}:ring", f"{pool}:queue:{runs.session}")
    rig.kept.finish(runs, "end", repeatable=False, held_s=1)
    async with asyncio.timeout(4):
        await waiting


async def test_a_client_has_half_of_its_own_limit_while_redis_is_away(rig: Rig, valkey: OwnValkey) -> None:
    await asyncio.to_thread(valkey.kill)
    try:
        calls = [asked_call(f"call-{number}") for number in range(2)]
        for call in calls:
            call.slots = (*call.slots, Slot(keys.client_slots("1"), 2))
        await rig.admission.admit(calls[0], nobody_hears)
        second = asyncio.create_task(rig.admission.admit(calls[1], nobody_hears))
        done, _ = await asyncio.wait({second}, timeout=0.1)
        assert not done
        rig.admission.give_back_here(calls[0])
        async with asyncio.timeout(2):
            await second
    finally:
        await asyncio.to_thread(valkey.start_again)


async def test_a_call_that_redis_lets_in_after_its_end_stays_ended(rig: Rig) -> None:
    # Its process gave up waiting for Redis and went on without; Redis gets to the admission later.
    call = asked_call("late")
    call.was_sent = True
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    late = asked_call("late")
    with pytest.raises(KnownCall):
        await rig.admission.admit(late, nobody_hears)
    assert await all_of(rig, "late") == ["result"]
    assert await rig.link.command("ZCARD", keys.GLOBAL_SLOTS) == 0
    assert await rig.kept.named(session=call.session, request_id="late") == "late"


async def test_a_call_that_is_cancelled_while_it_asks_for_a_place_gets_none_later(rig: Rig) -> None:
    runs, asks = asked_call("runs", most=1), asked_call("asks", most=1, session="1:another")
    await rig.admission.admit(runs, nobody_hears)
    asking = asyncio.create_task(rig.admission.admit(asks, nobody_hears))
    await asyncio.sleep(0)  # it has asked; that it is to wait is known to Redis alone
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for call in (asks, runs):
        rig.kept.finish(call, "end", repeatable=True, held_s=1)
    await rig.kept.drain(within_s=5)
    assert not await rig.link.command("EXISTS", *(slot.key for slot in asks.slots), keys.waiting(keys.GLOBAL_SLOTS))


async def test_a_holder_that_gives_up_while_it_asks_for_a_providers_place_gets_none_later(rig: Rig) -> None:
    slots = SharedProviderSlots(rig.link, rig.process, Grants(rig.link, rig.process), longest_wait_s=5, most_waiting=10)
    pool = keys.provider_slots("kimi")

    async def hold() -> None:
        async with slots.slot("kimi", most=1, asker=None):
            pass

    async with slots.slot("kimi", most=1, asker=None):
        asking = asyncio.create_task(hold())
        await asyncio.sleep(0)  # it has asked, and no answer can have come
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await rig.link.command("PING")
    assert not await rig.link.command("EXISTS", keys.waiting(pool))
    # One may be kept to spare by who held it.
    assert {holder.decode() for holder in await rig.link.command("ZRANGE", pool, 0, -1)} <= set(rig.process.calls)


async def test_a_session_that_fills_the_queue_does_not_keep_others_out(rig: Rig) -> None:
    greedy = [asked_call(f"greedy-{number}") for number in range(12)]
    for call in greedy:  # one may run
        call.slots = (call.slots[0], Slot(call.slots[1].key, 1))
    tasks = [asyncio.create_task(rig.admission.admit(call, nobody_hears)) for call in greedy]
    await until(lambda: tasks[-1].done())  # two wait for the one that runs
    assert sum(task.done() for task in tasks) == 10
    assert isinstance(tasks[-1].exception(), OverCapacity)
    async with asyncio.timeout(2):
        await rig.admission.admit(asked_call("free", session="1:modest"), nobody_hears)
    one = Slot(keys.GLOBAL_SLOTS, 2)
    waits = asked_call("waits", session="1:other")
    waits.slots = (one, waits.slots[1])
    waiting = asyncio.create_task(rig.admission.admit(waits, nobody_hears))
    for _ in range(100):
        if await rig.link.command("HEXISTS", keys.waiting(keys.GLOBAL_SLOTS), "waits"):
            break
        assert not waiting.done(), waiting.exception()
        await asyncio.sleep(0.01)
    for task in (*tasks, waiting):
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)

"""What is kept of calls, against a Valkey of its own: within its bounds, through an outage, and forgotten in time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from exai.calls import keys
from exai.calls.admission import Admission, AskedCall, KnownCall
from exai.calls.kept_calls import CallGone, EndedCallState, KeptCalls
from exai.calls.limits import Bucket, Slot
from exai.calls.process import Process
from exai.calls.provider_slots import SharedProviderSlots
from exai.calls.redis_link import RedisAway, RedisLink
from exai.calls.waiting import Grants
from exai.protocol.errors import OverCapacity
from tests.calls.links import until
from tests.calls.own_valkey import OwnValkey, own_valkey

_MIB = 1024 * 1024


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with own_valkey() as valkey:
        yield valkey


class Rig(NamedTuple):
    """The parts of one web process that keep calls."""

    link: RedisLink
    process: Process
    admission: Admission
    kept: KeptCalls


def _rig(url: str, *, most_bytes: int = 64 * _MIB, most_waiting: int = 10, lease_s: float = 1.0) -> Rig:
    link = RedisLink(url)
    process = Process(link, lease_s=lease_s)
    admission = Admission(
        link,
        process,
        Grants(link, process),
        longest_wait_s=5,
        most_waiting=most_waiting,
        retention_s=60,
        call_timeout_s=10,
    )
    return Rig(link, process, admission, KeptCalls(link, process, retention_s=60, most_bytes=most_bytes))


@pytest.fixture
async def rig(valkey: OwnValkey) -> AsyncIterator[Rig]:
    with valkey.client() as client:
        client.flushall()
    rig = _rig(valkey.url)
    await rig.process.start()
    yield rig
    await rig.process.stop()
    await rig.link.close()


def _call(name: str, *, session: str = "1:one", most: int = 100) -> AskedCall:
    return AskedCall(
        id=name,
        session=session,
        connection="connection",
        repeat_key=keys.repeated_call("1", name, "chat", {}),
        asked_key=keys.asked_call("1", session, "chat", {"prompt": name}),
        named_key=keys.named_call(session, name),
        conversation="",
        slots=(Slot(keys.GLOBAL_SLOTS, most), Slot(keys.session_slots(session), most)),
        buckets=(Bucket("exai:tokens:all", 10_000, 10_000),),
        description=b"{}",
    )


async def _nobody_hears(_: str) -> None:
    pass


async def _ended(rig: Rig, name: str, result: str, *, frames: tuple[str, ...] = ()) -> None:
    call = _call(name)
    await rig.admission.admit(call, _nobody_hears)
    for frame in frames:
        rig.kept.keep(name, frame)
    rig.kept.finish(call, result, repeatable=False, held_s=0.01)
    await rig.kept.drain(within_s=5)


async def _all_of(rig: Rig, name: str) -> list[str]:
    return [frame async for frame in rig.kept.follow(name, while_wanted=lambda: True)]


async def _is_kept(rig: Rig, name: str) -> bool:
    return bool(await rig.link.command("EXISTS", keys.call_state(name)))


@pytest.mark.parametrize("size", [10, 5000])
async def test_frames_of_a_call_are_followed_in_order_to_its_result(rig: Rig, size: int) -> None:
    frames = tuple(f"{number} {'x' * size}" for number in range(5))
    await _ended(rig, "whole", "the result", frames=frames)
    assert await _all_of(rig, "whole") == [*frames, "the result"]


async def test_what_was_kept_in_many_batches_is_followed_whole(rig: Rig) -> None:
    call = _call("long")
    await rig.admission.admit(call, _nobody_hears)
    for number in range(450):
        rig.kept.keep("long", str(number))
        rig.kept._unkept._flush()  # as time does, only sooner
    rig.kept.finish(call, "end", repeatable=False, held_s=1)
    assert await _all_of(rig, "long") == [*map(str, range(450)), "end"]


async def test_frames_that_came_during_an_outage_are_there_after_it(rig: Rig, valkey: OwnValkey) -> None:
    call = _call("through")
    await rig.admission.admit(call, _nobody_hears)
    rig.kept.keep("through", "before")
    await until(lambda: not rig.kept._unkept._fresh)
    await asyncio.to_thread(valkey.kill)
    for number in range(3):
        rig.kept.keep("through", f"during {number}")
    await until(lambda: rig.link.away)
    await asyncio.to_thread(valkey.start_again)
    await until(lambda: not rig.link.away)
    rig.kept.keep("through", "after")
    await until(lambda: not rig.kept._unkept._fresh)
    rig.kept.finish(call, "end", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    assert await _all_of(rig, "through") == ["before", "during 0", "during 1", "during 2", "after", "end"]


async def test_the_oldest_delivered_results_go_first_when_there_is_too_much(valkey: OwnValkey, rig: Rig) -> None:
    result = "x" * 10_000
    for number in range(700):  # more than one run of the script takes
        await _ended(rig, f"call-{number}", result)
        if number != 3:
            rig.kept.deliver(f"call-{number}")
    small = _rig(valkey.url, most_bytes=20 * len(result))
    await small.process.start()
    try:
        for _ in range(200):
            if int(await rig.link.command("GET", "exai:kept:bytes")) <= 20 * len(result):
                break
            await asyncio.sleep(0.02)
        kept = [number for number in range(700) if await _is_kept(rig, f"call-{number}")]
        # The one that nobody has yet outlives those that are older and younger.
        assert kept == [3, *range(681, 700)]
        with pytest.raises(CallGone):
            await _all_of(rig, "call-0")
    finally:
        await small.process.stop()
        await small.link.close()


async def test_the_sum_of_what_is_kept_is_right_after_every_end(rig: Rig) -> None:
    await _ended(rig, "short", "result", frames=("a",))
    call = _call("streamed")
    await rig.admission.admit(call, _nobody_hears)
    for letter in "xyz":
        rig.kept.keep("streamed", letter * 3000)
        rig.kept._unkept._flush()
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("resulta") + len("result") + 9000
    rig.kept.deliver("streamed")  # its chunks go
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("resulta") + len("result")


async def test_no_more_calls_wait_than_are_allowed(rig: Rig) -> None:
    await rig.admission.admit(_call("runs", most=1), _nobody_hears)
    waiting = [
        asyncio.create_task(rig.admission.admit(_call(f"waits-{number}", session=f"1:{number}", most=1), _nobody_hears))
        for number in range(10)
    ]
    for _ in range(100):
        if await rig.link.command("HLEN", keys.waiting(keys.GLOBAL_SLOTS)) == 10:
            break
        await asyncio.sleep(0.01)
    with pytest.raises(OverCapacity) as refused:
        await rig.admission.admit(_call("too many", most=1), _nobody_hears)
    assert refused.value.details["retry_after"] >= 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_that_waits_is_let_in_by_half_of_the_limits_when_redis_goes_away(
    rig: Rig, valkey: OwnValkey
) -> None:
    await rig.admission.admit(_call("runs", most=1), _nobody_hears)
    waits = _call("waits", most=1)
    waiting = asyncio.create_task(rig.admission.admit(waits, _nobody_hears))
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
    runs = _call("runs", most=1)
    await rig.admission.admit(runs, _nobody_hears)
    waiting = asyncio.create_task(rig.admission.admit(_call("waits", most=1), _nobody_hears))
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
        calls = [_call(f"call-{number}") for number in range(2)]
        for call in calls:
            call.slots = (*call.slots, Slot(keys.client_slots("1"), 2))
        await rig.admission.admit(calls[0], _nobody_hears)
        second = asyncio.create_task(rig.admission.admit(calls[1], _nobody_hears))
        done, _ = await asyncio.wait({second}, timeout=0.1)
        assert not done
        rig.admission.give_back_here(calls[0])
        async with asyncio.timeout(2):
            await second
    finally:
        await asyncio.to_thread(valkey.start_again)


async def test_the_names_of_a_call_go_with_what_is_kept_of_it(rig: Rig) -> None:
    await _ended(rig, "named", "result")
    call = _call("named")
    for key in (call.repeat_key, call.named_key, call.asked_key, keys.call_state("named")):
        assert 0 < int(await rig.link.command("PTTL", key)) <= 60_000


async def test_who_follows_is_given_the_chunks_of_a_result_that_another_has_got_already(rig: Rig) -> None:
    call = _call("followed")
    await rig.admission.admit(call, _nobody_hears)
    following = rig.kept.follow("followed", while_wanted=lambda: True)
    rig.kept.keep("followed", "x" * 5000)
    assert await anext(following) == "x" * 5000
    rig.kept.keep("followed", "y" * 5000)
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    rig.kept.deliver("followed")
    assert [frame async for frame in following] == ["y" * 5000, "result"]


async def test_a_call_that_redis_lets_in_after_its_end_stays_ended(rig: Rig) -> None:
    # Its process gave up waiting for Redis and went on without; Redis gets to the admission later.
    call = _call("late")
    call.was_sent = True
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    late = _call("late")
    with pytest.raises(KnownCall):
        await rig.admission.admit(late, _nobody_hears)
    assert await _all_of(rig, "late") == ["result"]
    assert await rig.link.command("ZCARD", keys.GLOBAL_SLOTS) == 0
    assert await rig.kept.named(session=call.session, request_id="late") == "late"


async def test_a_refused_frame_leaves_nothing_behind(rig: Rig) -> None:
    call = _call("refused")
    call.buckets = (Bucket("exai:tokens:session:none", 0.5, 0.001),)
    with pytest.raises(OverCapacity):
        await rig.admission.admit(call, _nobody_hears)
    assert not call.was_sent
    assert not await _is_kept(rig, "refused")


async def test_what_was_sent_over_a_connection_that_broke_is_kept_with_the_end(rig: Rig, valkey: OwnValkey) -> None:
    call = _call("broken")
    await rig.admission.admit(call, _nobody_hears)
    await asyncio.to_thread(valkey.freeze)
    rig.kept.keep("broken", "first")
    rig.kept._unkept._flush()
    with pytest.raises(RedisAway):  # which breaks the connection
        await rig.link.command("PING")
    await asyncio.to_thread(valkey.kill)
    await asyncio.to_thread(valkey.start_again)
    await until(lambda: not rig.link.away)
    rig.kept.finish(call, "end", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    assert await _all_of(rig, "broken") == ["first", "end"]


async def test_a_call_that_is_cancelled_while_it_asks_for_a_place_gets_none_later(rig: Rig) -> None:
    runs, asks = _call("runs", most=1), _call("asks", most=1, session="1:another")
    await rig.admission.admit(runs, _nobody_hears)
    asking = asyncio.create_task(rig.admission.admit(asks, _nobody_hears))
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


@pytest.mark.parametrize("redis_forgets", [False, True])
async def test_of_a_call_that_redis_does_not_know_the_end_alone_is_kept(rig: Rig, redis_forgets: bool) -> None:
    call = _call("unknown")
    if redis_forgets:
        await rig.admission.admit(call, _nobody_hears)
        await rig.link.command("FLUSHALL")
    else:
        call.was_sent = True  # but the link broke before it arrived
    rig.kept.keep("unknown", "frame")
    rig.kept._unkept._flush()
    rig.kept.finish(call, "end", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    rig.kept.keep("unknown", "late")
    rig.kept._unkept._flush()
    await rig.link.command("PING")
    assert not await rig.link.command("EXISTS", keys.call_frames("unknown"))
    assert await _all_of(rig, "unknown") == ["end"]
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("end")


async def test_the_end_of_a_call_that_redis_never_saw_is_not_kept_for_its_return(rig: Rig, valkey: OwnValkey) -> None:
    await asyncio.to_thread(valkey.kill)
    try:
        await until(lambda: rig.link.away)
        call = _call("aside")
        await rig.admission.admit(call, _nobody_hears)
        assert (call.standing.name, call.was_sent) == ("COUNTED_HERE", False)
    finally:
        await asyncio.to_thread(valkey.start_again)


async def test_the_end_of_a_call_is_told_to_redis_however_late_it_comes_back(rig: Rig, valkey: OwnValkey) -> None:
    short = KeptCalls(rig.link, rig.process, retention_s=0.1, most_bytes=_MIB)
    call = _call("long away")
    await rig.admission.admit(call, _nobody_hears)
    await asyncio.to_thread(valkey.kill)
    try:
        await until(lambda: rig.link.away)
        short.finish(call, "end", repeatable=False, held_s=1)
        await short.drain(within_s=1)
        assert short._ending
    finally:
        await asyncio.to_thread(valkey.start_again)
    await short.drain(within_s=5)
    assert await rig.link.command("HGET", keys.call_state(call.id), "state") in (b"ended", None)
    assert not await rig.link.command("EXISTS", keys.running_calls(rig.process.id))


async def test_a_session_that_fills_the_queue_does_not_keep_others_out(rig: Rig) -> None:
    greedy = [_call(f"greedy-{number}") for number in range(12)]
    for call in greedy:  # one may run
        call.slots = (call.slots[0], Slot(call.slots[1].key, 1))
    tasks = [asyncio.create_task(rig.admission.admit(call, _nobody_hears)) for call in greedy]
    await until(lambda: tasks[-1].done())  # two wait for the one that runs
    assert sum(task.done() for task in tasks) == 10
    assert isinstance(tasks[-1].exception(), OverCapacity)
    async with asyncio.timeout(2):
        await rig.admission.admit(_call("free", session="1:modest"), _nobody_hears)
    one = Slot(keys.GLOBAL_SLOTS, 2)
    waits = _call("waits", session="1:other")
    waits.slots = (one, waits.slots[1])
    waiting = asyncio.create_task(rig.admission.admit(waits, _nobody_hears))
    for _ in range(100):
        if await rig.link.command("HEXISTS", keys.waiting(keys.GLOBAL_SLOTS), "waits"):
            break
        assert not waiting.done(), waiting.exception()
        await asyncio.sleep(0.01)
    for task in (*tasks, waiting):
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)


async def test_an_answer_of_a_process_that_was_taken_for_dead_outweighs_that_it_was_abandoned(rig: Rig) -> None:
    call = _call("slow")
    await rig.admission.admit(call, _nobody_hears)
    rig.kept.keep("slow", "x" * 5000)
    rig.kept._unkept._flush()
    abandoned = EndedCallState(
        id=call.id,
        process=rig.process.id,
        session=call.session,
        slots=call.slots,
        repeat_key=call.repeat_key,
        asked_key=call.asked_key,
        named_key=call.named_key,
        conversation="",
        repeatable=True,
    )
    await rig.kept.abandon(abandoned, "abandoned")
    rig.kept.keep("slow", "y" * 5000)
    rig.kept.finish(call, "the answer", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    # Not the chunks: those of the time between are missing.
    assert await _all_of(rig, "slow") == ["the answer"]
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("the answer")
    again = _call("again")
    again.repeat_key = call.repeat_key
    with pytest.raises(KnownCall):
        await rig.admission.admit(again, _nobody_hears)
    rig.kept.deliver("slow")
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("the answer")


@pytest.mark.parametrize("repeated_elsewhere", [False, True])
@pytest.mark.parametrize("ends_first", [False, True])
async def test_the_names_of_a_question_asked_again_go_with_the_call_too(
    rig: Rig, ends_first: bool, repeated_elsewhere: bool
) -> None:
    call, again = _call("asked"), _call("again", session="1:two" if repeated_elsewhere else "1:one")
    again.asked_key, again.connection = call.asked_key, "another"
    if repeated_elsewhere:
        again.repeat_key = call.repeat_key
    await rig.admission.admit(call, _nobody_hears)
    if ends_first:
        rig.kept.finish(call, "result", repeatable=False, held_s=1)
        await rig.kept.drain(within_s=5)
    with pytest.raises(KnownCall):
        await rig.admission.admit(again, _nobody_hears)
    if not ends_first:
        rig.kept.finish(call, "result", repeatable=False, held_s=1)
        await rig.kept.drain(within_s=5)
    for key in (again.repeat_key, again.named_key, again.asked_key):
        assert 0 < int(await rig.link.command("PTTL", key)) <= 60_000


async def test_a_call_whose_record_is_not_written_yet_stays_listed_for_whoever_sees_to_the_dead(rig: Rig) -> None:
    call = _call("recorded")
    await rig.admission.admit(call, _nobody_hears)
    rig.kept.finish(call, "result", repeatable=False, held_s=1, stays_listed=True)
    await rig.kept.drain(within_s=5)
    listed = keys.running_calls(rig.process.id)
    assert await rig.link.command("ZCARD", keys.GLOBAL_SLOTS) == 0
    assert await _all_of(rig, "recorded") == ["result"]
    assert await rig.link.command("HEXISTS", listed, "recorded")
    rig.kept.unlist("recorded")
    assert not await rig.link.command("HEXISTS", listed, "recorded")


async def test_a_call_that_is_repeated_from_countless_sessions_stays_small(rig: Rig) -> None:
    call = _call("popular")
    await rig.admission.admit(call, _nobody_hears)
    for number in range(300):
        repeat = _call("repeat", session=f"1:session-{number}")
        repeat.repeat_key = call.repeat_key
        with pytest.raises(KnownCall):
            await rig.admission.admit(repeat, _nobody_hears)
    assert int(await rig.link.command("HSTRLEN", keys.call_state("popular"), "names")) < 5000
    for name in (call.named_key, repeat.named_key):
        assert int(await rig.link.command("PTTL", name)) > 0

"""What is kept of calls, against a Valkey of its own: within its bounds, through an outage, and forgotten in time."""

import asyncio

import pytest

from exai.calls import keys
from exai.calls.admission import KnownCall
from exai.calls.kept_calls import CallGone, EndedCallState, KeptCalls
from exai.calls.limits import Bucket
from exai.calls.redis_link import RedisAway
from exai.protocol.errors import OverCapacity
from tests.calls.links import until
from tests.calls.own_valkey import OwnValkey
from tests.calls.rig import Rig, all_of, asked_call, end_call, is_kept, make_rig, nobody_hears

_MIB = 1024 * 1024


@pytest.mark.parametrize("size", [10, 5000])
async def test_frames_of_a_call_are_followed_in_order_to_its_result(rig: Rig, size: int) -> None:
    frames = tuple(f"{number} {'x' * size}" for number in range(5))
    await end_call(rig, "whole", "the result", frames=frames)
    assert await all_of(rig, "whole") == [*frames, "the result"]


async def test_what_was_kept_in_many_batches_is_followed_whole(rig: Rig) -> None:
    call = asked_call("long")
    await rig.admission.admit(call, nobody_hears)
    for number in range(450):
        rig.kept.keep("long", str(number))
        rig.kept._unkept._flush()  # as time does, only sooner
    rig.kept.finish(call, "end", repeatable=False, held_s=1)
    assert await all_of(rig, "long") == [*map(str, range(450)), "end"]


async def test_frames_that_came_during_an_outage_are_there_after_it(rig: Rig, valkey: OwnValkey) -> None:
    call = asked_call("through")
    await rig.admission.admit(call, nobody_hears)
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
    assert await all_of(rig, "through") == ["before", "during 0", "during 1", "during 2", "after", "end"]


async def test_the_oldest_delivered_results_go_first_when_there_is_too_much(valkey: OwnValkey, rig: Rig) -> None:
    result = "x" * 10_000
    for number in range(700):  # more than one run of the script takes
        await end_call(rig, f"call-{number}", result)
        if number != 3:
            rig.kept.deliver(f"call-{number}")
    small = make_rig(valkey.url, most_bytes=20 * len(result))
    await small.process.start()
    try:
        for _ in range(200):
            if int(await rig.link.command("GET", "exai:kept:bytes")) <= 20 * len(result):
                break
            await asyncio.sleep(0.02)
        kept = [number for number in range(700) if await is_kept(rig, f"call-{number}")]
        # The one that nobody has yet outlives those that are older and younger.
        assert kept == [3, *range(681, 700)]
        with pytest.raises(CallGone):
            await all_of(rig, "call-0")
    finally:
        await small.process.stop()
        await small.link.close()


async def test_the_sum_of_what_is_kept_is_right_after_every_end(rig: Rig) -> None:
    await end_call(rig, "short", "result", frames=("a",))
    call = asked_call("streamed")
    await rig.admission.admit(call, nobody_hears)
    for letter in "xyz":
        rig.kept.keep("streamed", letter * 3000)
        rig.kept._unkept._flush()
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    await rig.kept.drain(within_s=5)
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("resulta") + len("result") + 9000
    rig.kept.deliver("streamed")  # its chunks go
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("resulta") + len("result")


async def test_the_names_of_a_call_go_with_what_is_kept_of_it(rig: Rig) -> None:
    await end_call(rig, "named", "result")
    call = asked_call("named")
    for key in (call.repeat_key, call.named_key, call.asked_key, keys.call_state("named")):
        assert 0 < int(await rig.link.command("PTTL", key)) <= 60_000


async def test_who_follows_is_given_the_chunks_of_a_result_that_another_has_got_already(rig: Rig) -> None:
    call = asked_call("followed")
    await rig.admission.admit(call, nobody_hears)
    following = rig.kept.follow("followed", while_wanted=lambda: True)
    rig.kept.keep("followed", "x" * 5000)
    assert await anext(following) == "x" * 5000
    rig.kept.keep("followed", "y" * 5000)
    rig.kept.finish(call, "result", repeatable=False, held_s=1)
    rig.kept.deliver("followed")
    assert [frame async for frame in following] == ["y" * 5000, "result"]


async def test_a_refused_frame_leaves_nothing_behind(rig: Rig) -> None:
    call = asked_call("refused")
    call.buckets = (Bucket("exai:tokens:session:none", 0.5, 0.001),)
    with pytest.raises(OverCapacity):
        await rig.admission.admit(call, nobody_hears)
    assert not call.was_sent
    assert not await is_kept(rig, "refused")


async def test_what_was_sent_over_a_connection_that_broke_is_kept_with_the_end(rig: Rig, valkey: OwnValkey) -> None:
    call = asked_call("broken")
    await rig.admission.admit(call, nobody_hears)
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
    assert await all_of(rig, "broken") == ["first", "end"]


@pytest.mark.parametrize("redis_forgets", [False, True])
async def test_of_a_call_that_redis_does_not_know_the_end_alone_is_kept(rig: Rig, redis_forgets: bool) -> None:
    call = asked_call("unknown")
    if redis_forgets:
        await rig.admission.admit(call, nobody_hears)
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
    assert await all_of(rig, "unknown") == ["end"]
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("end")


async def test_the_end_of_a_call_that_redis_never_saw_is_not_kept_for_its_return(rig: Rig, valkey: OwnValkey) -> None:
    await asyncio.to_thread(valkey.kill)
    try:
        await until(lambda: rig.link.away)
        call = asked_call("aside")
        await rig.admission.admit(call, nobody_hears)
        assert (call.standing.name, call.was_sent) == ("COUNTED_HERE", False)
    finally:
        await asyncio.to_thread(valkey.start_again)


async def test_the_end_of_a_call_is_told_to_redis_however_late_it_comes_back(rig: Rig, valkey: OwnValkey) -> None:
    short = KeptCalls(rig.link, rig.process, retention_s=0.1, most_bytes=_MIB)
    call = asked_call("long away")
    await rig.admission.admit(call, nobody_hears)
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


async def test_an_answer_of_a_process_that_was_taken_for_dead_outweighs_that_it_was_abandoned(rig: Rig) -> None:
    call = asked_call("slow")
    await rig.admission.admit(call, nobody_hears)
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
    assert await all_of(rig, "slow") == ["the answer"]
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("the answer")
    again = asked_call("again")
    again.repeat_key = call.repeat_key
    with pytest.raises(KnownCall):
        await rig.admission.admit(again, nobody_hears)
    rig.kept.deliver("slow")
    assert int(await rig.link.command("GET", "exai:kept:bytes")) == len("the answer")


@pytest.mark.parametrize("repeated_elsewhere", [False, True])
@pytest.mark.parametrize("ends_first", [False, True])
async def test_the_names_of_a_question_asked_again_go_with_the_call_too(
    rig: Rig, ends_first: bool, repeated_elsewhere: bool
) -> None:
    call, again = asked_call("asked"), asked_call("again", session="1:two" if repeated_elsewhere else "1:one")
    again.asked_key, again.connection = call.asked_key, "another"
    if repeated_elsewhere:
        again.repeat_key = call.repeat_key
    await rig.admission.admit(call, nobody_hears)
    if ends_first:
        rig.kept.finish(call, "result", repeatable=False, held_s=1)
        await rig.kept.drain(within_s=5)
    with pytest.raises(KnownCall):
        await rig.admission.admit(again, nobody_hears)
    if not ends_first:
        rig.kept.finish(call, "result", repeatable=False, held_s=1)
        await rig.kept.drain(within_s=5)
    for key in (again.repeat_key, again.named_key, again.asked_key):
        assert 0 < int(await rig.link.command("PTTL", key)) <= 60_000


async def test_a_call_whose_record_is_not_written_yet_stays_listed_for_whoever_sees_to_the_dead(rig: Rig) -> None:
    call = asked_call("recorded")
    await rig.admission.admit(call, nobody_hears)
    rig.kept.finish(call, "result", repeatable=False, held_s=1, stays_listed=True)
    await rig.kept.drain(within_s=5)
    listed = keys.running_calls(rig.process.id)
    assert await rig.link.command("ZCARD", keys.GLOBAL_SLOTS) == 0
    assert await all_of(rig, "recorded") == ["result"]
    assert await rig.link.command("HEXISTS", listed, "recorded")
    rig.kept.unlist("recorded")
    assert not await rig.link.command("HEXISTS", listed, "recorded")


async def test_a_call_that_is_repeated_from_countless_sessions_stays_small(rig: Rig) -> None:
    call = asked_call("popular")
    await rig.admission.admit(call, nobody_hears)
    for number in range(300):
        repeat = asked_call("repeat", session=f"1:session-{number}")
        repeat.repeat_key = call.repeat_key
        with pytest.raises(KnownCall):
            await rig.admission.admit(repeat, nobody_hears)
    assert int(await rig.link.command("HSTRLEN", keys.call_state("popular"), "names")) < 5000
    for name in (call.named_key, repeat.named_key):
        assert int(await rig.link.command("PTTL", name)) > 0

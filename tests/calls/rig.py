"""The parts of one web process that let calls in and keep them, and calls for them."""

from typing import NamedTuple

from exai.calls import keys
from exai.calls.admission import Admission, AskedCall
from exai.calls.kept_calls import KeptCalls
from exai.calls.limits import Bucket, Slot
from exai.calls.process import Process
from exai.calls.redis_link import RedisLink
from exai.calls.waiting import Grants

_MIB = 1024 * 1024


class Rig(NamedTuple):
    """The parts of one web process that keep calls."""

    link: RedisLink
    process: Process
    admission: Admission
    kept: KeptCalls


def make_rig(url: str, *, most_bytes: int = 64 * _MIB, most_waiting: int = 10, lease_s: float = 1.0) -> Rig:
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


def asked_call(name: str, *, session: str = "1:one", most: int = 100) -> AskedCall:
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


async def nobody_hears(_: str) -> None:
    pass


async def end_call(rig: Rig, name: str, result: str, *, frames: tuple[str, ...] = ()) -> None:
    call = asked_call(name)
    await rig.admission.admit(call, nobody_hears)
    for frame in frames:
        rig.kept.keep(name, frame)
    rig.kept.finish(call, result, repeatable=False, held_s=0.01)
    await rig.kept.drain(within_s=5)


async def all_of(rig: Rig, name: str) -> list[str]:
    return [frame async for frame in rig.kept.follow(name, while_wanted=lambda: True)]


async def is_kept(rig: Rig, name: str) -> bool:
    return bool(await rig.link.command("EXISTS", keys.call_state(name)))

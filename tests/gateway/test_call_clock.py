"""The time that a call may take: longer for slow models, and not counted while it waits."""

import asyncio
import time
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest

from exai.gateway.authentication import AuthenticatedClient
from exai.gateway.call_clock import CallClock
from exai.gateway.running_call import Caller, CallRequest, RunningCall

_CLIENT = AuthenticatedClient(1, "agent", "agent", frozenset(), "")


class Nobody:
    id = session_id = limited_address = "nobody"
    is_open = True

    async def send_text(self, text: str) -> None:
        pass

    def await_delivery(self, call_id: str) -> None:
        pass

    def is_attached(self, call_id: str, request_id: Any) -> bool:
        return False


def clock(timeout_s: float) -> CallClock:
    request = CallRequest(str(uuid4()), "chat", msgspec.Raw(b"{}"), _CLIENT)
    call = RunningCall(request, cast(Caller, Nobody()), keep=lambda *_: None, heartbeat_s=60, timeout_s=timeout_s)
    return CallClock(call, timeout_s=timeout_s)


async def test_a_slow_model_makes_the_call_s_time_longer_and_a_quick_one_not_shorter() -> None:
    running = clock(10)
    async with running:
        assert 4 < running.left_for(0.5) <= 5
        assert running.timeout_s == 10
        assert 9 < running.left_s <= 10
        assert 29 < running.left_for(3) <= 30
        assert running.timeout_s == 30
        assert 29 < running.left_s <= 30
        assert 9 < running.left_for(1) <= 10


async def test_a_call_whose_time_was_raised_ends_later() -> None:
    running = clock(0.02)
    async with running:
        running.left_for(100)
        await asyncio.sleep(0.05)
    assert not running.has_run_out


async def test_a_call_ends_with_its_time() -> None:
    running, began = clock(0.02), time.monotonic()

    async def work() -> None:
        async with running:
            running.left_for(2)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await work()
    assert running.has_run_out
    assert 0.03 < time.monotonic() - began < 5


async def test_time_that_is_added_during_a_wait_counts_after_it() -> None:
    running = clock(0.5)
    async with running:
        async with running.waiting("Waiting for capacity"):
            running.left_for(20)
        assert 9 < running.left_s <= 10

"""A cancelled task ends only when its thread does."""

import asyncio
import threading

import pytest

from conversations.files.threads import on_thread


async def test_what_a_thread_gives_or_raises_comes_through() -> None:
    assert await on_thread(lambda: 5) == 5

    def fail() -> None:
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        await on_thread(fail)


async def test_however_often_it_is_cancelled_the_thread_is_waited_for_and_its_result_taken_back() -> None:
    began, may_end = threading.Event(), threading.Event()
    taken_back: list[str] = []

    def work() -> str:
        began.set()
        assert may_end.wait(10)
        return "made"

    task = asyncio.create_task(on_thread(work, undo=taken_back.append))
    assert await asyncio.to_thread(began.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken_back == ["made"]


async def test_a_thread_that_fails_for_nobody_is_no_noise() -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert may_end.wait(10)
        raise OSError

    task = asyncio.create_task(on_thread(work))
    assert await asyncio.to_thread(began.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

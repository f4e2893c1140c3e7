"""Vendors that fall silent, break off or send garbage, and callers that go away."""

import asyncio
import contextlib
import socket
import time
from contextlib import aclosing

import pytest

from exai.protocol.errors import ProviderFailed
from exai.protocol.values import Usage
from exai.providers.base import TextDelta
from tests.providers.asking import KEY, Endpoints, answer, provider_failure, question
from tests.providers.wire import STREAM, WHOLE, content, event, vendor_that_sends
from tests.upstream import Upstream


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_that_breaks_midway_carries_its_beginning(
    upstream: Upstream, endpoints: Endpoints, model: str, reset: bool
) -> None:
    upstream.behave(model, text="one two", chunks=2, break_after_chunks=1, reset=reset)
    failed = await provider_failure(endpoints.make(), question(model))
    assert "broke off its answer" in failed.message
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True, "partial_text": "one"}


async def test_a_stream_that_ends_without_an_end_is_broken_too(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("one")) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message == "vendor broke off its answer."
    assert failed.details["partial_text"] == "one"


async def test_a_stream_that_breaks_before_its_text_is_not_called_unreachable(endpoints: Endpoints) -> None:
    status, headers = STREAM
    head = status, {**headers, "Content-Length": "5000"}
    thought = event('{"choices":[{"delta":{"reasoning_content":"hm"}}]}')
    async with vendor_that_sends(thought, head=head) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert "broke off its answer" in failed.message
    assert "partial_text" not in failed.details


async def test_a_whole_answer_that_breaks_is_no_answer(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, break_after_chunks=1, ignore_stream=True)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True}


@pytest.mark.parametrize("after_chunks", [0, 1])
async def test_a_vendor_that_falls_silent_is_given_up_after_the_read_timeout(
    upstream: Upstream, endpoints: Endpoints, model: str, after_chunks: int
) -> None:
    upstream.behave(model, text="one two", chunks=2, stall_after_chunks=after_chunks)
    started = time.monotonic()
    failed = await provider_failure(endpoints.make(read_timeout_s=0.2), question(model))
    assert 0.15 < time.monotonic() - started < 3
    assert failed.message == "vendor was silent for too long."
    assert failed.details["retryable"] is True
    assert failed.details.get("partial_text", "") == ("one" if after_chunks else "")
    await asyncio.to_thread(upstream.wait_for_disconnect, model)


async def test_a_vendor_without_a_first_byte_is_given_up_too(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, delay_s=60)
    failed = await provider_failure(endpoints.make(read_timeout_s=0.2), question(model))
    assert failed.message == "vendor was silent for too long."
    await asyncio.to_thread(upstream.wait_for_disconnect, model)


async def test_a_slow_vendor_is_no_silent_one(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, text="one two three", chunks=6, chunk_delay_s=0.1)
    assert (await answer(endpoints.make(read_timeout_s=0.4), question(model))).text == "one two three"


async def test_the_usage_is_waited_for_after_the_end_of_the_text(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, text="one", usage={"prompt": 3, "completion": 1}, after_finish_s=0.2)
    answered = await answer(endpoints.make(), question(model))
    assert (answered.text, answered.finished.usage.input_tokens) == ("one", 3)


async def test_a_vendor_that_is_silent_after_the_end_of_the_text_costs_a_moment_only(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, text="one", after_finish_s=60)
    started = time.monotonic()
    answered = await answer(endpoints.make(read_timeout_s=60), question(model))
    assert time.monotonic() - started < 5
    assert (answered.text, answered.finished.reason, answered.finished.usage) == ("one", "stop", Usage())
    await asyncio.to_thread(upstream.wait_for_disconnect, model)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_vendor_slower_than_the_timeout_is_given_up(
    upstream: Upstream, endpoints: Endpoints, model: str, stream: bool
) -> None:
    upstream.behave(model, text="one two", chunks=2, chunk_delay_s=60)
    failed = await provider_failure(endpoints.make(read_timeout_s=0.2), question(model, stream=stream))
    assert failed.message == "vendor was silent for too long."
    await asyncio.to_thread(upstream.wait_for_disconnect, model)


@pytest.mark.parametrize("ignore_stream", [False, True])
async def test_garbage_is_said_to_be_no_answer(
    upstream: Upstream, endpoints: Endpoints, model: str, ignore_stream: bool
) -> None:
    upstream.behave(model, text="one two", chunks=2, garbage_after_chunks=1, ignore_stream=ignore_stream)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.message == "vendor sent something that is no answer."
    assert failed.details["retryable"] is True
    assert failed.details.get("partial_text", "") == ("" if ignore_stream else "one")


@pytest.mark.parametrize(
    "data",
    [
        *("5", "[]", "{", '{"choices":5}', '{"choices":[5]}'),
        '{"choices":[{"delta":{"content":["a"]}}]}',
        '{"choices":[{"delta":{"content":"\\ud83d"}},5]}',
        pytest.param('{"error":' + "[" * 60_000, id="nested too deeply"),
    ],
)
async def test_events_of_another_shape_are_no_answer(endpoints: Endpoints, data: str) -> None:
    async with vendor_that_sends(content("one"), event(data)) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message == "vendor sent something that is no answer."
    assert failed.details["partial_text"] == "one"


async def test_an_endless_line_is_given_up(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("one"), b"data: " + b"x" * 9 * 1024 * 1024) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message == "vendor sent something that is no answer."


@pytest.mark.parametrize("head", [("200 OK", {}), ("200 OK", {"Content-Type": "text/html"}), WHOLE])
async def test_an_empty_or_foreign_body_is_no_answer(endpoints: Endpoints, head: tuple[str, dict[str, str]]) -> None:
    for body in (b"", b"<html>Welcome</html>"):
        async with vendor_that_sends(body, head=head) as wire:
            failed = await provider_failure(endpoints.make(wire.url), question("m"))
        assert failed.message == "vendor sent something that is no answer."


async def test_an_answer_without_any_choice_is_broken(endpoints: Endpoints) -> None:
    async with vendor_that_sends(b"{}", head=WHOLE) as wire:
        assert "broke off" in (await provider_failure(endpoints.make(wire.url), question("m"))).message


async def test_a_vendor_where_nobody_listens_cannot_be_reached(endpoints: Endpoints) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can listen there meanwhile
        port = taken.getsockname()[1]
        failed = await provider_failure(endpoints.make(f"http://127.0.0.1:{port}/v1"), question("m"))
    assert failed.message.startswith("vendor cannot be reached")
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True}
    assert KEY not in f"{failed.message}{failed.__cause__!r}{failed.__context__!r}"


async def test_a_vendor_that_takes_no_connection_cannot_be_reached(endpoints: Endpoints) -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(8):  # nobody accepts them, so the queue is full after the first
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        failed = await provider_failure(endpoints.make(url, connect_timeout_s=0.2, read_timeout_s=60), question("m"))
    assert failed.message.startswith("vendor cannot be reached")


async def test_closing_the_answer_closes_the_connection(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, text="one two", chunks=2, stall_after_chunks=1)
    async with aclosing(endpoints.make().ask(question(model))) as events:
        assert await anext(events) == TextDelta("one")
    closed_at = time.time()
    assert await asyncio.to_thread(upstream.wait_for_disconnect, model) < closed_at + 1


@pytest.mark.parametrize("behaviour", [{"delay_s": 60}, {"stall_after_chunks": 1}])
async def test_cancelling_the_task_closes_the_connection(
    upstream: Upstream, endpoints: Endpoints, model: str, behaviour: dict[str, float]
) -> None:
    upstream.behave(model, **behaviour)
    asking = asyncio.create_task(answer(endpoints.make(), question(model)))
    await asyncio.to_thread(upstream.wait_for_requests, model, 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    cancelled_at = time.time()
    assert await asyncio.to_thread(upstream.wait_for_disconnect, model) < cancelled_at + 1


async def test_a_provider_serves_on_after_a_broken_call(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, text="one two", chunks=2, break_after_chunks=1, reset=True)
    provider = endpoints.make()
    with pytest.raises(ProviderFailed):
        await answer(provider, question(model))
    upstream.behave(model, text="three")
    assert (await answer(provider, question(model))).text == "three"


async def test_many_calls_run_at_once(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, delay_s=0.2)
    provider = endpoints.make()
    started = time.monotonic()
    answers = await asyncio.gather(*(answer(provider, question(model, f"call {n}")) for n in range(30)))
    assert time.monotonic() - started < 3
    assert [answered.text for answered in answers] == [f"You said: call {n}" for n in range(30)]

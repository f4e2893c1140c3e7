"""Answers that are whole but odd, which must not be lost, and answers that are empty or endless, which are none."""

import asyncio
import json

import pytest

from exai.protocol.values import Usage
from exai.providers.answer_reader import LONGEST_ANSWER
from tests.providers.asking import Endpoints, answer, provider_failure, question
from tests.providers.wire import DONE, STREAM, WHOLE, content, event, vendor_that_sends
from tests.upstream import Upstream

STOP = content("", finish_reason='"stop"')
ODD_COUNTS = ["12.5", "-1", "9999999999", "2147483648", '"7"', "true", "null", "[]", "1e400", "1" * 400]


@pytest.mark.parametrize("count", ODD_COUNTS)
async def test_an_odd_token_count_is_unknown_and_the_others_are_kept(endpoints: Endpoints, count: str) -> None:
    usage = f'{{"prompt_tokens":{count},"completion_tokens":7,"cached_tokens":{count},'
    usage += f'"completion_tokens_details":{{"reasoning_tokens":{count}}}}}'
    last = event(f'{{"choices":[],"usage":{usage}}}')
    async with vendor_that_sends(content("paid for"), STOP, last, DONE) as wire:
        streamed = await answer(endpoints.make(wire.url), question("m"))
    message = f'{{"choices":[{{"message":{{"content":"paid for"}},"finish_reason":"stop"}}],"usage":{usage}}}'
    async with vendor_that_sends(message.encode(), head=WHOLE) as wire:
        whole = await answer(endpoints.make(wire.url), question("m"))
    for answered in (streamed, whole):
        assert (answered.text, answered.finished.usage) == ("paid for", Usage(output_tokens=7))


async def test_the_largest_count_that_can_be_stored_is_kept(endpoints: Endpoints) -> None:
    last = event('{"choices":[],"usage":{"prompt_tokens":2147483647,"completion_tokens":0}}')
    async with vendor_that_sends(content("a"), STOP, last, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert answered.finished.usage == Usage(input_tokens=2147483647, output_tokens=0)


@pytest.mark.parametrize("usage", ["5", "[]", '"many"', '{"prompt_tokens_details":5,"completion_tokens_details":[]}'])
async def test_a_usage_of_another_shape_is_unknown(endpoints: Endpoints, usage: str) -> None:
    last = event('{"choices":[],"usage":' + usage + "}")
    async with vendor_that_sends(content("a", usage=usage), STOP, last, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.text, answered.finished.usage) == ("a", Usage())


@pytest.mark.parametrize("data", ["null", '{"choices":null}', '{"choices":null,"usage":null}', "{}"])
async def test_an_event_with_nothing_in_it_is_passed_over(endpoints: Endpoints, data: str) -> None:
    async with vendor_that_sends(event(data), content("a"), event(data), STOP, DONE) as wire:
        assert (await answer(endpoints.make(wire.url), question("m"))).text == "a"


async def test_a_character_that_the_vendor_broke_costs_no_more_than_itself(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("a"), content("?").replace(b"?", b"b\xe4\xbd c"), STOP, DONE) as wire:
        streamed = await answer(endpoints.make(wire.url), question("m"))
    message = b'{"choices":[{"message":{"content":"ab\xe4\xbd c"},"finish_reason":"stop"}]}'
    async with vendor_that_sends(message, head=WHOLE) as wire:
        whole = await answer(endpoints.make(wire.url), question("m"))
    assert streamed.text == whole.text == "ab\ufffd c"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"data: {\n\n", id="broken"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xff', id="bytes"),
        pytest.param(b'data: {"choices":5}\n\n', id="shape"),
        pytest.param(b'data: {"error":{"message":"too late"}}\n\n', id="error"),
        pytest.param(b"data: " + b"x" * 9 * 1024 * 1024, id="endless line"),
    ],
)
async def test_what_comes_after_the_end_of_an_answer_does_not_lose_it(endpoints: Endpoints, data: bytes) -> None:
    async with vendor_that_sends(content("a", finish_reason='"stop"'), data) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.text, answered.finished.reason) == ("a", "stop")


async def test_a_connection_that_breaks_after_the_end_of_an_answer_does_not_lose_it(endpoints: Endpoints) -> None:
    status, headers = STREAM
    head = status, {**headers, "Content-Length": "5000"}
    async with vendor_that_sends(content("a", finish_reason='"stop"'), head=head) as wire:
        assert (await answer(endpoints.make(wire.url), question("m"))).text == "a"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([content("a"), STOP.rstrip(b"\n")], id="reason"),
        pytest.param([content("a", finish_reason='"stop"').rstrip(b"\n")], id="text"),
        pytest.param([content("a"), DONE.rstrip(b"\n")], id="done"),
    ],
)
async def test_a_last_event_needs_no_end_of_line(endpoints: Endpoints, events: list[bytes]) -> None:
    async with vendor_that_sends(*events) as wire:
        assert (await answer(endpoints.make(wire.url), question("m"))).text == "a"


async def test_half_of_a_last_event_is_a_broken_answer(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("a"), content("b")[:-20]) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert (failed.message, failed.details["partial_text"]) == ("vendor broke off its answer.", "a")


@pytest.mark.parametrize("ignore_stream", [False, True])
@pytest.mark.parametrize(("reason", "reasoning"), [("stop", None), ("length", "hm"), ("tool_calls", None)])
async def test_an_answer_without_text_is_none_and_its_reason_is_named(
    upstream: Upstream, endpoints: Endpoints, model: str, reason: str, reasoning: str | None, ignore_stream: bool
) -> None:
    upstream.behave(model, text="", reasoning=reasoning, finish_reason=reason, ignore_stream=ignore_stream)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.message == f"vendor answered without any text (it gives as its reason to end: {reason})."
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True}


async def test_a_body_without_end_is_given_up_and_its_connection_closed(endpoints: Endpoints) -> None:
    sent = json.dumps({"choices": [{"message": {"content": "x" * LONGEST_ANSWER}, "finish_reason": "stop"}]})
    async with vendor_that_sends(sent.encode(), head=WHOLE) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message == "vendor sent more than 32 MiB."
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True}


@pytest.mark.parametrize("member", ["content", "reasoning_content"])
async def test_a_stream_without_end_is_given_up_and_its_connection_closed(endpoints: Endpoints, member: str) -> None:
    closed = asyncio.Event()
    piece = event(json.dumps({"choices": [{"delta": {member: "x" * 4 * 1024 * 1024}}]}))

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            closed.set()
        finally:
            writer.close()

    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        failed = await provider_failure(endpoints.make(url), question("m"))
        await asyncio.wait_for(closed.wait(), 5)
    assert failed.message == "vendor sent more than 32 MiB."
    # What came before is as long as what nobody can be sent.
    assert "partial_text" not in failed.details

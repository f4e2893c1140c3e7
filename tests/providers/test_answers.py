"""Answers of an OpenAI-compatible vendor: the same whether they stream or not, and however their bytes are cut."""

import pytest

from exai.protocol.values import Usage
from tests.providers.asking import Endpoints, answer, question
from tests.providers.wire import DONE, STREAM, WHOLE, content, event, vendor_that_sends
from tests.upstream import Upstream

TEXT = "Grüße, 你好 🙂 and\n\nwhat follows"


async def test_streamed_and_whole_answers_give_the_same(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    behaviour = {
        "text": TEXT,
        "reasoning": "First this, 🙂 then that",
        "finish_reason": "length",
        "usage": {"prompt": 11, "completion": 7, "cached": 5, "reasoning": 2},
    }
    upstream.behave(model, **behaviour)
    streamed = await answer(endpoints.make(), question(model))
    upstream.behave(model, **behaviour, ignore_stream=True)
    whole = await answer(endpoints.make(), question(model))
    assert streamed[:3] == whole[:3]
    assert (streamed.text, streamed.reasoning) == (TEXT, "First this, 🙂 then that")
    assert streamed.finished.reason == "length"
    assert streamed.finished.usage == Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=2)
    assert (streamed.pieces, whole.pieces) == (4, 1)


@pytest.mark.parametrize("ignore_stream", [False, True])
async def test_usage_that_the_vendor_does_not_tell_is_unknown(
    upstream: Upstream, endpoints: Endpoints, model: str, ignore_stream: bool
) -> None:
    upstream.behave(model, no_usage=True, ignore_stream=ignore_stream)
    assert (await answer(endpoints.make(), question(model))).finished.usage == Usage()


async def test_bytes_may_be_cut_anywhere_with_comments_between(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, text=TEXT, reasoning="思考", split_utf8=True, comments=True)
    answered = await answer(endpoints.make(), question(model))
    assert (answered.text, answered.reasoning) == (TEXT, "思考")


async def test_a_long_answer_comes_whole(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    text = "0123456789" * 200_000
    for chunks in (1, 500):
        upstream.behave(model, text=text, chunks=chunks)
        answered = await answer(endpoints.make(), question(model))
        assert (answered.text == text, answered.pieces) == (True, chunks)


async def test_a_nul_becomes_a_replacement_character(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    for ignore_stream in (False, True):
        upstream.behave(model, text="a\x00b", reasoning="\x00", ignore_stream=ignore_stream)
        answered = await answer(endpoints.make(), question(model))
        assert (answered.text, answered.reasoning) == ("a\ufffdb", "\ufffd")


async def test_a_surrogate_pair_cut_between_events_comes_out_whole(endpoints: Endpoints) -> None:
    end = content(r"\ud83d", finish_reason='"stop"')
    async with vendor_that_sends(content(r"a\ud83d"), content(r"\ude00b\ude00c"), end, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert answered.text == "a😀b\ufffdc\ufffd"


async def test_usage_is_found_where_kimi_puts_it(endpoints: Endpoints) -> None:
    usage = '{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"cached_tokens":5}'
    async with vendor_that_sends(content("a"), content("b", finish_reason='"stop"', usage=usage), DONE) as wire:
        streamed = await answer(endpoints.make(wire.url), question("m"))
    message = '{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}],"usage":' + usage + "}"
    async with vendor_that_sends(message.encode(), head=WHOLE) as wire:
        whole = await answer(endpoints.make(wire.url), question("m"))
    expected = Usage(input_tokens=11, output_tokens=7, cached_tokens=5)
    assert (streamed.finished.usage, whole.finished.usage) == (expected, expected)


async def test_empty_details_do_not_hide_the_cached_tokens_beside_them(endpoints: Endpoints) -> None:
    usage = '{"prompt_tokens":11,"completion_tokens":7,"cached_tokens":5,"prompt_tokens_details":{}}'
    last = event('{"choices":[],"usage":' + usage + "}")
    async with vendor_that_sends(content("a", finish_reason='"stop"'), last, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert answered.finished.usage.cached_tokens == 5


async def test_a_stream_that_ends_after_its_reason_needs_no_done(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("a"), content("", finish_reason='"stop"')) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.text, answered.finished.reason) == ("a", "stop")


async def test_a_stream_that_ends_with_done_needs_no_reason(endpoints: Endpoints) -> None:
    async with vendor_that_sends(content("a"), DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.text, answered.finished.reason) == ("a", "stop")


async def test_events_of_other_kinds_and_further_choices_are_passed_over(endpoints: Endpoints) -> None:
    two = event('{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"X"}}],"x":1}')
    other = b"event: ping\nid: 7\nretry: 1000\n\n"
    role = event('{"choices":[{"delta":{"role":"assistant","content":null}}]}')
    async with vendor_that_sends(role, other, two, event('{"choices":[]}'), DONE, head=STREAM) as wire:
        assert (await answer(endpoints.make(wire.url), question("m"))).text == "a"

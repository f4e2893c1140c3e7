"""Function calls as endpoints write them, well or oddly."""

import json

import pytest

from exai.providers.base import FunctionCall, FunctionTool
from exai.providers.function_calls import MOST_CALLS, CallGatherer
from tests.providers.asking import Endpoints, answer, provider_failure, question
from tests.providers.wire import DONE, WHOLE, content, event, vendor_that_sends

OFFERED = (FunctionTool("f", "Does f", {"type": "object"}),)
END = event('{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}')


def fragment(function: object, **rest: object) -> bytes:
    delta = {"tool_calls": [{**rest, "function": function}]}
    return event(json.dumps({"choices": [{"index": 0, "delta": delta}]}))


async def calls_of(endpoints: Endpoints, *events: bytes) -> tuple[FunctionCall, ...]:
    async with vendor_that_sends(*events, END, DONE) as wire:
        return (await answer(endpoints.make(wire.url), question("m", tools=OFFERED))).finished.calls


async def test_calls_that_interleave_are_told_apart_by_their_index(endpoints: Endpoints) -> None:
    assert await calls_of(
        endpoints,
        fragment({"name": "f", "arguments": '{"a'}, index=0, id="1"),
        fragment({"name": "g", "arguments": "{"}, index=1, id="2"),
        fragment({"arguments": '":1}'}, index=0),
        fragment({"arguments": "}"}, index=1),
    ) == (FunctionCall("1", "f", '{"a":1}'), FunctionCall("2", "g", "{}"))


async def test_calls_of_one_index_are_told_apart_by_their_ids(endpoints: Endpoints) -> None:
    assert await calls_of(
        endpoints,
        fragment({"name": "f", "arguments": "{}"}, index=0, id="1"),
        fragment({"name": "g", "arguments": "{"}, index=0, id="2"),
        fragment({"arguments": "}"}, index=0, id="2"),
    ) == (FunctionCall("1", "f", "{}"), FunctionCall("2", "g", "{}"))


async def test_calls_without_an_index_begin_with_their_name(endpoints: Endpoints) -> None:
    assert await calls_of(
        endpoints,
        fragment({"name": "f", "arguments": "{"}, id="1"),
        fragment({"arguments": "}"}),
        fragment({"name": "g", "arguments": {"b": [1]}}, id="2"),
    ) == (FunctionCall("1", "f", "{}"), FunctionCall("2", "g", '{"b":[1]}'))


async def test_a_call_without_an_id_gets_one_and_one_without_a_name_is_none(endpoints: Endpoints) -> None:
    assert await calls_of(
        endpoints,
        fragment({"arguments": "{}"}, index=0, id="nameless"),
        fragment({"name": "f", "arguments": "{}"}, index=1),
    ) == (FunctionCall("call_1", "f", "{}"),)


async def test_arguments_come_out_fit_to_store(endpoints: Endpoints) -> None:
    [call] = await calls_of(endpoints, fragment({"name": "f", "arguments": "a\x00\ud83d"}, index=0, id="1"))
    assert call.arguments == "a\ufffd\ufffd"


async def test_arguments_of_an_object_come_out_fit_to_store(endpoints: Endpoints) -> None:
    [call] = await calls_of(endpoints, fragment({"name": "f", "arguments": {"a": "\ud83d"}}, index=0, id="1"))
    assert json.loads(call.arguments) == {"a": "\ufffd"}


@pytest.mark.parametrize("depth", [100, 100_000])
def test_arguments_of_any_depth_are_taken_or_passed_over(depth: int) -> None:
    arguments: dict[str, object] = {}
    for _ in range(depth):
        arguments = {"a": arguments}
    CallGatherer().take([{"index": 0, "function": {"name": "f", "arguments": arguments}}])


@pytest.mark.parametrize("odd", ["5", '"x"', "[5]", "[{}]", '[{"function":5}]', '{"name":"f"}', "[null]"])
async def test_odd_calls_do_not_lose_the_text(endpoints: Endpoints, odd: str) -> None:
    both = event(f'{{"choices":[{{"delta":{{"content":"a","tool_calls":{odd}}},"finish_reason":"stop"}}]}}')
    async with vendor_that_sends(both, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m", tools=OFFERED))
    assert (answered.text, answered.finished.calls) == ("a", ())
    message = f'{{"choices":[{{"message":{{"content":"a","tool_calls":{odd}}}}}]}}'
    async with vendor_that_sends(message.encode(), head=WHOLE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m", tools=OFFERED))
    assert (answered.text, answered.finished.calls) == ("a", ())


async def test_whole_calls_need_no_reason_to_end(endpoints: Endpoints) -> None:
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"choices": [{"message": {"content": None, "tool_calls": [called]}}]}
    async with vendor_that_sends(json.dumps(message).encode(), head=WHOLE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m", tools=OFFERED))
    assert answered.finished.calls == (FunctionCall("1", "f", "{}"),)


async def test_calls_that_break_off_are_no_answer(endpoints: Endpoints) -> None:
    begun = fragment({"name": "f", "arguments": "{"}, index=0, id="1")
    async with vendor_that_sends(content("I ask."), begun) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m", tools=OFFERED))
    assert (failed.message, failed.details["partial_text"]) == ("vendor broke off its answer.", "I ask.")


async def test_calls_without_end_are_given_up(endpoints: Endpoints) -> None:
    many = [fragment({"name": "f", "arguments": "{}"}, index=n, id=str(n)) for n in range(MOST_CALLS + 1)]
    async with vendor_that_sends(b"".join(many)) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m", tools=OFFERED))
    assert f"more than {MOST_CALLS} function calls" in failed.message


async def test_calls_of_functions_that_nobody_offered_are_no_answer(endpoints: Endpoints) -> None:
    called = fragment({"name": "f", "arguments": "{}"}, index=0, id="1")
    async with vendor_that_sends(called, END, DONE) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert "answered without any text" in failed.message
    async with vendor_that_sends(content("a"), called, END, DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.text, answered.finished.calls) == ("a", ())


@pytest.mark.parametrize("ignored", ['{"text":"x"}', "5", "null"])
async def test_reasoning_under_its_other_name_is_read(endpoints: Endpoints, ignored: str) -> None:
    thought = event('{"choices":[{"delta":{"reasoning":"hm"}}]}')
    odd = event('{"choices":[{"delta":{"reasoning":' + ignored + "}}]}")
    async with vendor_that_sends(thought, odd, content("a", finish_reason='"stop"'), DONE) as wire:
        answered = await answer(endpoints.make(wire.url), question("m"))
    assert (answered.reasoning, answered.text) == ("hm", "a")

"""chat, asked of a real vendor on loopback: what it sends, what it answers, what it refuses."""

from typing import Any

import pytest

from exai.protocol.errors import ContentTooLarge, HubError, InvalidValue, ProviderFailed
from exai.protocol.values import Turn, Usage
from exai.providers.base import ModelInfo
from exai.providers.echo import MODEL as TEST_MODEL
from exai.providers.echo import Echo
from exai.providers.openai_compatible import OpenAICompatible
from exai.providers.registry import Registry
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens
from exai.tools.prompts import prompt
from tests.tools.conftest import MakeRegistry
from tests.tools.running import Run
from tests.upstream import Upstream


def sent_messages(upstream: Upstream, model: str) -> list[tuple[str, str]]:
    [request] = upstream.requests(model)
    return [(message["role"], message["content"]) for message in request.body["messages"]]


async def refused(run: Run, **arguments: Any) -> HubError:
    with pytest.raises(HubError) as caught:
        await run("chat", **arguments)
    return caught.value


async def test_an_answer_names_its_model_provider_and_usage(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    usage = {"prompt": 11, "completion": 7, "cached": 5, "reasoning": 2}
    upstream.behave(model, text="**Yes.**", reasoning="hm", finish_reason="length", usage=usage)
    run = Run(serving(ModelInfo(model, 8000)))
    answer = await run("chat", prompt="Is it?")
    assert (answer.content, answer.content_type, answer.status) == ("**Yes.**", "markdown", "success")
    assert (answer.model, answer.provider) == (model, "vendor")
    assert answer.usage == Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=2)
    assert answer.turn == Turn(user="Is it?", assistant="**Yes.**")
    assert answer.metadata == {
        "finish_reason": "length",
        "reasoning": "hm",
        "why": f"route fast: first healthy of {model}",
    }
    assert not answer.plain
    assert run.stages == [f"Calling {model}"]
    assert run.pieces == []


async def test_the_vendor_is_sent_the_system_prompt_and_the_question(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    await Run(serving(ModelInfo(model, 8000)))("chat", prompt="Is it?", temperature=0.25)
    assert sent_messages(upstream, model) == [("system", prompt("chat")), ("user", "Is it?")]
    assert upstream.requests(model)[0].body["temperature"] == 0.25


async def test_earlier_turns_are_sent_oldest_first(upstream: Upstream, serving: MakeRegistry, model: str) -> None:
    turns = [Turn("first?", "one"), Turn("second?", "two")]
    answer = await Run(serving(ModelInfo(model, 8000)), turns=turns)("chat", prompt="third?")
    assert sent_messages(upstream, model)[1:] == [
        ("user", "first?"),
        ("assistant", "one"),
        ("user", "second?"),
        ("assistant", "two"),
        ("user", "third?"),
    ]
    assert "turns_left_out" not in answer.metadata


@pytest.mark.parametrize(("spare", "kept"), [(0, 2), (-1, 1)])
async def test_the_newest_whole_turns_that_fit_are_sent_and_the_others_counted(
    upstream: Upstream, serving: MakeRegistry, model: str, spare: int, kept: int
) -> None:
    turns = [Turn(f"{n}?" * 100, f"{n}!" * 100) for n in range(5)]
    a_turn = 2 * (estimate_tokens("0?" * 100) + TOKENS_PER_MESSAGE)
    question = estimate_tokens(prompt("chat")) + estimate_tokens("and?") + 2 * TOKENS_PER_MESSAGE
    context = question + 50 + 2 * a_turn + spare
    answer = await Run(serving(ModelInfo(model, context, output=50)), turns=turns)("chat", prompt="and?")
    users = [content for role, content in sent_messages(upstream, model) if role == "user"]
    assert users == [*(turn.user for turn in turns[-kept:]), "and?"]
    assert answer.metadata["turns_left_out"] == 5 - kept


async def test_a_large_turn_keeps_the_older_ones_out(upstream: Upstream, serving: MakeRegistry, model: str) -> None:
    turns = [Turn("small?", "small"), Turn("large?", "x" * 40_000), Turn("new?", "new")]
    answer = await Run(serving(ModelInfo(model, 8000)), turns=turns)("chat", prompt="and?")
    assert [content for _, content in sent_messages(upstream, model)[1:]] == ["new?", "new", "and?"]
    assert answer.metadata["turns_left_out"] == 2


@pytest.mark.parametrize("text", ["x" * 40_000, "你" * 20_000])
async def test_a_prompt_beyond_the_context_is_refused_before_anything_is_sent(
    upstream: Upstream, serving: MakeRegistry, model: str, text: str
) -> None:
    run = Run(serving(ModelInfo(model, 8000)))
    failed = await refused(run, prompt=text)
    assert isinstance(failed, ContentTooLarge)
    assert failed.details["limit"] == 8000
    assert failed.details["estimated_tokens"] > 8000
    assert model in failed.message
    assert upstream.requests(model) == []
    assert run.stages == []


async def test_pieces_are_passed_on_as_they_come_and_make_the_answer(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    upstream.behave(model, text="one two three four", chunks=4, reasoning="hm")
    run = Run(serving(ModelInfo(model, 8000)), streams=True)
    answer = await run("chat", prompt="Count", stream=True)
    assert len(run.pieces) == 4
    assert "".join(run.pieces) == answer.content == "one two three four"


@pytest.mark.parametrize("named", [None, "", "auto", "AUTO", " auto "])
async def test_the_hub_chooses_the_first_real_model(
    upstream: Upstream, serving: MakeRegistry, model: str, named: str | None
) -> None:
    run = Run(serving(ModelInfo(model, 8000), ModelInfo("another", 8000)))
    assert (await run("chat", prompt="hi", model=named)).model == model


@pytest.mark.parametrize("named", [None, "auto"])
async def test_a_conversation_keeps_its_model(
    upstream: Upstream, serving: MakeRegistry, model: str, named: str | None
) -> None:
    run = Run(serving(ModelInfo("another", 8000), ModelInfo(model, 8000)), last_model=model)
    assert (await run("chat", prompt="hi", model=named)).model == model


async def test_a_model_that_is_named_wins_over_the_conversation_s(serving: MakeRegistry, model: str) -> None:
    registry = serving(ModelInfo("another", 8000), ModelInfo(model, 8000, aliases=(f"{model}-alias",)))
    for named in (model, model.upper(), f"{model}-alias", f"vendor/{model}"):
        assert (await Run(registry, last_model="another")("chat", prompt="hi", model=named)).model == model


@pytest.mark.parametrize(
    ("last_model", "provider"), [("second/twice", "second"), ("first/twice", "first"), ("gone/twice", "first")]
)
async def test_a_conversation_keeps_its_vendor_where_two_offer_its_model(
    upstream: Upstream, model: str, last_model: str, provider: str
) -> None:
    vendors = [
        OpenAICompatible(
            name=name,
            base_url=upstream.url,
            key="",
            key_setting="TEST_API_KEY",
            models=(ModelInfo("another", 8000), ModelInfo(model, 8000, aliases=("twice",))),
            connect_timeout_s=5,
            read_timeout_s=5,
        )
        for name in ("first", "second")
    ]
    registry = Registry([Echo(), *vendors])
    try:
        answer = await Run(registry, last_model=last_model)("chat", prompt="hi")
    finally:
        await registry.close()
    assert (answer.provider, answer.model) == (provider, model)


async def test_a_conversation_whose_model_is_gone_goes_on_with_the_hub_s_choice(
    serving: MakeRegistry, model: str
) -> None:
    run = Run(serving(ModelInfo(model, 8000)), last_model="retired")
    assert (await run("chat", prompt="hi")).model == model


async def test_an_unknown_model_is_an_error_that_lists_what_there_is(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    failed = await refused(Run(serving(ModelInfo(model, 8000))), prompt="hi", model="gpt-99")
    assert isinstance(failed, InvalidValue)
    assert "'gpt-99'" in failed.message
    assert model in failed.message
    assert TEST_MODEL in failed.message
    assert upstream.requests(model) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
async def test_an_empty_prompt_is_refused(upstream: Upstream, serving: MakeRegistry, model: str, text: str) -> None:
    failed = await refused(Run(serving(ModelInfo(model, 8000))), prompt=text)
    assert isinstance(failed, InvalidValue)
    assert list(failed.details) == ["prompt"]
    assert upstream.requests(model) == []


@pytest.mark.parametrize("field", ["files", "images"])
async def test_where_no_files_are_kept_they_are_refused_in_so_many_words(
    upstream: Upstream, serving: MakeRegistry, model: str, field: str
) -> None:
    run = Run(serving(ModelInfo(model, 8000)))
    failed = await refused(run, prompt="hi", **{field: [{"name": "main.py", "content": "print()"}]})
    assert isinstance(failed, InvalidValue)
    assert "keeps no files" in failed.message
    assert list(failed.details) == [field]
    assert upstream.requests(model) == []
    assert (await run("chat", prompt="hi", **{field: []})).status == "success"


async def test_a_vendor_s_failure_is_the_call_s(upstream: Upstream, serving: MakeRegistry, model: str) -> None:
    upstream.behave(model, text="one two", chunks=2, break_after_chunks=1)
    run = Run(serving(ModelInfo(model, 8000)), streams=True)
    failed = await refused(run, prompt="hi")
    assert isinstance(failed, ProviderFailed)
    assert failed.details["partial_text"] == "one"
    assert run.pieces == ["one"]


async def test_the_context_tells_who_was_asked_and_for_how_long(
    upstream: Upstream, serving: MakeRegistry, model: str
) -> None:
    upstream.behave(model, delay_s=0.1, status=500)
    context = Run(serving(ModelInfo(model, 8000))).context()
    with pytest.raises(ProviderFailed):
        await context.ask(system="s", prompt="p")
    assert (context.provider_name, context.model_name) == ("vendor", model)
    assert 0.1 <= context.provider_seconds < 3


async def test_the_test_model_serves_without_any_vendor(serving: MakeRegistry) -> None:
    answer = await Run(serving())("chat", prompt="Hello?")
    assert (answer.model, answer.provider) == (TEST_MODEL, "exai")
    assert answer.content.endswith("Hello?")

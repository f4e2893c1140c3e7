"""consensus: several models at once, each alone; one that fails is reported; none is asked twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from exai.protocol.errors import ContentTooLarge, ErrorCode, HubError, InvalidValue
from exai.protocol.values import Turn
from exai.providers.base import ModelInfo
from exai.providers.registry import Registry
from exai.tools.base import ToolAnswer
from exai.tools.panel import MOST_MEMBERS
from exai.tools.steps import Step
from exai.tools.workflow.run import MOST_BYTES
from tests.tools.conftest import MakeRegistry
from tests.tools.files_in_memory import FilesInMemory
from tests.tools.running import Run
from tests.upstream import Upstream


class Panel:
    """Three models of one test, and a fourth that sums up."""

    def __init__(self, upstream: Upstream, serving: MakeRegistry, name: str) -> None:
        self.upstream = upstream
        self.names = [f"{name}-{letter}" for letter in "abc"]
        self.judge = f"{name}-judge"
        for letter, model in zip("abc", self.names, strict=True):
            upstream.behave(model, text=f"Answer {letter}")
        upstream.behave(self.judge, text="All agree.")
        self.registry: Registry = serving(*(ModelInfo(each, 8000) for each in (*self.names, self.judge)))
        self.steps: list[Step] = []
        self.stages: list[str] = []

    @property
    def members(self) -> list[dict[str, str]]:
        return [
            {"model": model, "stance": stance}
            for model, stance in zip(self.names, ("for", "against", "neutral"), strict=True)
        ]

    async def __call__(
        self,
        number: int = 1,
        *,
        last: bool = True,
        turns: Sequence[Turn] = (),
        files: FilesInMemory | None = None,
        **given: Any,
    ) -> ToolAnswer:
        run = Run(
            self.registry,
            steps=self.steps,
            continues=bool(self.steps),
            turns=turns,
            files=files,
            stages=self.stages,
        )
        arguments: dict[str, Any] = {
            "step": "Shall we shard?",
            "step_number": number,
            "total_steps": max(number, 3),
            "next_step_required": not last,
            "model": self.judge,
            **({"models": self.members} if number == 1 else {}),
            **given,
        }
        answer = await run("consensus", **{name: value for name, value in arguments.items() if value is not None})
        assert answer.step is not None
        self.steps.append(answer.step)
        return answer

    def sent(self, model: str) -> list[list[dict[str, Any]]]:
        return [request.body["messages"] for request in self.upstream.requests(model)]


@pytest.fixture
def panel(upstream: Upstream, serving: MakeRegistry, model: str) -> Panel:
    return Panel(upstream, serving, model)


async def test_each_model_is_told_its_stance_and_sees_the_question_alone(panel: Panel) -> None:
    members = [
        {"model": panel.names[0], "stance": "for", "stance_prompt": "Think of cost."},
        {"model": panel.names[1], "stance": "against"},
        {"model": panel.names[1]},
    ]
    await panel(models=members, findings="I would shard.")
    [[system, user]] = panel.sent(panel.names[0])
    assert "argue FOR" in system["content"]
    assert "Never against the facts" in system["content"]
    assert system["content"].endswith("about your stance: Think of cost.")
    assert user["content"] == "Shall we shard?"
    stances = {messages[0]["content"].rpartition("Your stance: ")[2][:7] for messages in panel.sent(panel.names[1])}
    assert stances == {"argue A", "neutral"}
    for messages in (*panel.sent(panel.names[0]), *panel.sent(panel.names[1])):
        assert not any(word in str(messages) for word in ("Answer a", "Answer b", "I would shard"))


async def test_one_model_sums_up_all_answers_and_the_agents_position(panel: Panel) -> None:
    answer = await panel(findings="I would shard.")
    [[system, user]] = panel.sent(panel.judge)
    assert "Weigh arguments, not votes" in system["content"]
    for said in (
        "Shall we shard?",
        "I would shard.",
        "Answer a",
        "Answer b",
        "Answer c",
        f"{panel.names[1]} (against)",
    ):
        assert said in user["content"]
    assert (answer.status, answer.content, answer.model) == ("consensus_complete", "All agree.", panel.judge)
    assert answer.fields["consensus_complete"] is True
    assert answer.fields["synthesis"] == {"status": "success", "model": panel.judge, "provider": "vendor"}
    assert [response["verdict"] for response in answer.fields["model_responses"]] == [
        "Answer a",
        "Answer b",
        "Answer c",
    ]
    assert answer.turn is not None
    for said in ("All agree.", "Answer a", "Answer c"):
        assert said in answer.turn.assistant


async def test_all_are_asked_at_once_and_shown_as_they_come(panel: Panel) -> None:
    for model, delay_s in zip(panel.names, (0.6, 0.3, 0.0), strict=True):
        panel.upstream.behave(model, text=f"After {delay_s}", delay_s=delay_s)
    await panel(use_assistant_model=False)
    received = [panel.upstream.requests(model)[0].received_at for model in panel.names]
    # One after the other the last would come 0.9 s after the first.
    assert max(received) - min(received) < 0.6
    told = [stage for stage in panel.stages if " of 3: " in stage]
    assert [stage[:6] for stage in told] == ["1 of 3", "2 of 3", "3 of 3"]
    for stage, model, delay_s in zip(told, reversed(panel.names), (0.0, 0.3, 0.6), strict=True):
        assert model in stage
        assert stage.endswith(f"answered: After {delay_s}")


async def test_a_model_that_fails_is_reported_and_the_others_are_summed_up(panel: Panel) -> None:
    panel.upstream.behave(panel.names[1], status=400)
    answer = await panel()
    good, bad, _ = answer.fields["model_responses"]
    assert (good["status"], bad["status"]) == ("success", "error")
    assert bad["error"]["code"] == "PROVIDER_ERROR"
    assert answer.fields["models_consulted"] == [f"{panel.names[0]} (for)", f"{panel.names[2]} (neutral)"]
    assert answer.content == "All agree."
    assert "No answer: " in panel.sent(panel.judge)[0][1]["content"]


async def test_all_failing_is_an_error_that_names_each(panel: Panel) -> None:
    for model in panel.names:
        panel.upstream.behave(model, status=400)
    with pytest.raises(HubError) as caught:
        await panel()
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    assert all(model in caught.value.message for model in panel.names)
    assert panel.sent(panel.judge) == []


async def test_answers_outlive_a_synthesis_that_fails(panel: Panel) -> None:
    panel.upstream.behave(panel.judge, status=400)
    answer = await panel()
    assert answer.fields["synthesis"]["error"]["code"] == "PROVIDER_ERROR"
    assert len(answer.fields["models_consulted"]) == 3
    assert answer.turn is not None
    assert "Answer b" in answer.turn.assistant


async def test_without_the_assistant_model_nobody_sums_up(panel: Panel) -> None:
    answer = await panel(use_assistant_model=False)
    assert answer.fields["synthesis"]["status"] == "skipped"
    assert panel.sent(panel.judge) == []
    assert answer.model == "several"


async def test_a_caller_may_read_the_answers_before_the_synthesis(panel: Panel) -> None:
    first = await panel(last=False, findings="I would shard.")
    assert first.status == "pause_for_consensus"
    assert len(first.fields["model_responses"]) == 3
    call = first.fields["next_call"]["arguments"]
    assert (call["step_number"], call["next_step_required"], call["model"]) == (2, False, panel.judge)
    assert panel.sent(panel.judge) == []
    last = await panel(call["step_number"], step="Now I think", findings="rather not.", models=None)
    [[_, user]] = panel.sent(panel.judge)
    for said in ("Shall we shard?", "I would shard.", "Now I think", "rather not.", "Answer c"):
        assert said in user["content"]
    assert (last.status, last.content) == ("consensus_complete", "All agree.")
    assert last.turn == Turn(user="Now I think\n\nrather not.", assistant="All agree.")
    assert [len(panel.sent(model)) for model in panel.names] == [1, 1, 1]


async def test_a_step_that_is_too_much_to_keep_is_refused_before_any_model_is_asked(panel: Panel) -> None:
    with pytest.raises(ContentTooLarge):
        await panel(findings="x" * MOST_BYTES)
    assert [panel.sent(model) for model in (*panel.names, panel.judge)] == [[], [], [], []]


async def test_a_caller_that_goes_from_model_to_model_gets_each_answer_and_asks_none_twice(panel: Panel) -> None:
    for number in (1, 2, 3):
        given: dict[str, Any] = {
            "current_model_index": number - 1,
            "model_responses": [{"any": "thing"}],
            "models": panel.members,
        }
        answer = await panel(number, last=number == 3, **given)
        assert answer.fields["model_response"]["verdict"] == f"Answer {'abc'[number - 1]}"
        assert answer.fields["current_model_index"] == number - 1
        assert (answer.turn is None) is (number == 2)
    assert answer.content == "All agree."
    assert [len(panel.sent(model)) for model in (*panel.names, panel.judge)] == [1, 1, 1, 1]


async def test_files_of_the_first_step_go_to_each_model_and_not_to_the_synthesis(panel: Panel) -> None:
    files = FilesInMemory()
    given = [{"name": "plan.md", "content": "the plan itself"}]
    answer = await panel(files=files, relevant_files=given)
    for model in panel.names:
        assert "the plan itself" in panel.sent(model)[0][-1]["content"]
    assert "the plan itself" not in panel.sent(panel.judge)[0][-1]["content"]
    assert "plan.md" in panel.sent(panel.judge)[0][-1]["content"]
    assert answer.turn is not None
    assert [file.name for file in answer.turn.files] == ["plan.md"]


async def test_the_conversation_goes_along_to_the_models(panel: Panel) -> None:
    await panel(turns=[Turn(user="We have one database.", assistant="Noted.")])
    assert [message["role"] for message in panel.sent(panel.names[0])[0]] == ["system", "user", "assistant", "user"]
    assert [message["role"] for message in panel.sent(panel.judge)[0]] == ["system", "user"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"models": []}, "models"),
        ({"models": None}, "models"),
        ({"models": [{"model": "no-such-model"}]}, "model"),
        ({"models": [{"model": " "}]}, "models"),
        ({"models": [{"model": "exai-echo"}, {"model": "EXAI-ECHO", "stance": "neutral"}]}, "models"),
        ({"models": [{"model": "exai-echo", "stance_prompt": str(n)} for n in range(MOST_MEMBERS + 1)]}, "models"),
        ({"step": "  "}, "step"),
    ],
)
async def test_a_wrong_panel_is_refused_before_anyone_is_asked(panel: Panel, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await panel(**given)
    assert list(caught.value.details) == [field]
    assert [panel.sent(model) for model in panel.names] == [[], [], []]


async def test_steps_come_in_order_and_other_models_need_a_new_run(panel: Panel) -> None:
    with pytest.raises(InvalidValue, match="the next step_number is 1, or pass the continuation_id"):
        await panel(2)
    await panel(last=False)
    for number in (1, 3):
        with pytest.raises(InvalidValue, match="the next step_number is 2"):
            await panel(number)
    with pytest.raises(InvalidValue, match="asked in step 1 already"):
        await panel(2, models=panel.members[:2])
    await panel(2)
    await panel(1, models=panel.members[:1])
    assert len(panel.sent(panel.names[0])) == 2


async def test_each_question_of_a_call_is_known_by_an_id_of_its_own(panel: Panel) -> None:
    context = Run(panel.registry, call_id="the-call").context()
    await asyncio.gather(*(context.ask(system="s", prompt="p", model=model) for model in panel.names))
    ids = {panel.upstream.requests(model)[0].headers["x-request-id"] for model in panel.names}
    assert ids == {"the-call", "the-call-2", "the-call-3"}
    assert (context.model_name, context.provider_name) == ("several", "vendor")


async def test_time_in_which_several_are_asked_counts_once(panel: Panel) -> None:
    for model in panel.names:
        panel.upstream.behave(model, delay_s=0.2)
    context = Run(panel.registry).context()
    await asyncio.gather(*(context.ask(system="s", prompt="p", model=model) for model in panel.names))
    assert 0.2 <= context.provider_seconds < 0.6

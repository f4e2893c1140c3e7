"""manage.py conversations, called in this process."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from conversations.models import Conversation
from exai.access import client_create
from exai.models import ApiClient
from exai.settings.hub import parse
from exai.tools.steps import Step
from tests.conversations.said import said, step_taken

pytestmark = pytest.mark.django_db


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def _run(*words: str, output: StringIO | None = None) -> str:
    output = output or StringIO()
    call_command("conversations", *words, stdout=output, stderr=StringIO(), no_color=True)
    return output.getvalue()


def _json(*words: str) -> Any:
    return json.loads(_run(*words, "--json"))


@pytest.fixture
def agent() -> ApiClient:
    return client_create(name="agent")[0]


@pytest.fixture
def talk(agent: ApiClient) -> Conversation:
    return said(agent, "What is a breaker?", "It opens.", "And then?", "It closes.", title="Breakers", model="m")


def _id(conversation: Conversation) -> str:
    return str(conversation.continuation_id)


def test_conversations_are_listed_found_and_shown(talk: Conversation) -> None:
    listed = _run("list", "--workspace", "agent").splitlines()
    assert listed[0].split() == ["ID", "LAST", "USED", "TURNS", "WORKSPACE", "CLIENT", "MODEL", "TITLE"]
    assert listed[1].startswith(_id(talk)[:13])
    assert listed[1].split()[4:] == ["2", "agent", "agent", "m", "Breakers"]
    assert "[opens]." in _run("search", "opens", "--client", "agent")
    assert _run("search", "nothing", "--workspace", "agent").strip() == "Nothing was found."
    shown = _run("show", _id(talk)[:8], "--workspace", "agent", "--limit", "2")
    assert "(2 earlier messages: --before 2)" in shown
    assert "It closes." in shown
    assert "It opens." not in shown
    assert "It opens." in _run("show", _id(talk)[:8], "--workspace", "agent", "--before", "2")
    assert _json("show", _id(talk), "--all-workspaces")["messages"][1]["content"] == "It opens."
    assert _json("search", "opens", "--workspace", "agent")["hits"][0]["continuation_id"] == _id(talk)


def test_a_conversation_of_steps_alone_is_shown_and_exported(agent: ApiClient) -> None:
    conversation = said(agent, title="It hangs")
    for number in (1, 2):
        step_taken(
            conversation, "debug", Step(number=number, total=3, text=f"Look {number}", findings=f"```\nFound {number}")
        )
    shown = _run("show", _id(conversation), "--workspace", "agent", "--limit", "1")
    assert "(1 earlier workflow steps are in the export)" in shown
    assert "debug, step 2 of 3" in shown
    assert "Found 2" in shown
    assert "Found 1" not in shown
    facts = _json("show", _id(conversation), "--workspace", "agent")
    assert (facts["turns"], facts["workflow_steps"]) == (0, 2)
    assert facts["steps"][1]["step"]["findings"] == "```\nFound 2"
    markdown = _run("export", _id(conversation), "--workspace", "agent", "--format", "markdown")
    assert markdown.count("````markdown\nLook ") == 2
    document = json.loads(_run("export", _id(conversation), "--workspace", "agent", "--format", "json"))
    assert [kept["step"]["text"] for kept in document["steps"]] == ["Look 1", "Look 2"]
    assert {kept["tool"] for kept in document["steps"]} == {"debug"}


def test_pages_of_the_list_lead_on(agent: ApiClient) -> None:
    expected = [_id(said(agent, title=str(number))) for number in range(5)][::-1]
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = _json("list", "--workspace", "agent", "--limit", "2", *after)
        seen += [row["continuation_id"] for row in page["conversations"]]
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert seen == expected


def test_a_fork_an_export_a_title_the_bin_and_back(talk: Conversation, tmp_path: Path) -> None:
    fork = _json("fork", _id(talk), "--turn", "1", "--workspace", "agent")
    assert fork["title"] == "Breakers (fork)"
    assert "Renamed" in _run("rename", fork["continuation_id"], "Other", "--workspace", "agent")
    file = tmp_path / "export.json"
    _run("export", fork["continuation_id"], "--format", "json", "--output", str(file), "--workspace", "agent")
    assert [message["position"] for message in json.loads(file.read_text())["messages"]] == [0, 1]
    with pytest.raises(CommandError, match="cannot be made: File exists"):
        _run("export", fork["continuation_id"], "--output", str(file), "--workspace", "agent")
    assert _run("export", fork["continuation_id"], "--workspace", "agent").startswith("# Other\n")
    assert "restored for 7 days" in _run("delete", _id(talk), "--workspace", "agent")
    assert [row["title"] for row in _json("list", "--workspace", "agent")["conversations"]] == ["Other"]
    assert [row["title"] for row in _json("list", "--workspace", "agent", "--bin")["conversations"]] == ["Breakers"]
    assert "Restored" in _run("restore", _id(talk), "--workspace", "agent")
    assert len(_json("list", "--workspace", "agent")["conversations"]) == 2


@pytest.mark.parametrize(
    ("days", "said_"), [("0", "It is removed within the hour."), ("1", "It can be restored for 1 day.")]
)
def test_what_becomes_of_the_deleted_is_said_by_the_settings(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch, days: str, said_: str
) -> None:
    settings = parse({"EXAI_BIN_DAYS": days})
    monkeypatch.setattr("exai.management.commands.conversations.hub_settings", lambda: settings)
    assert said_ in _run("delete", _id(talk), "--workspace", "agent")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "ID"),
        ("export", "ID"),
        ("fork", "ID"),
        ("rename", "ID", "title"),
        ("delete", "ID"),
        ("restore", "ID"),
    ],
)
def test_no_command_reaches_into_another_workspace(talk: Conversation, words: tuple[str, ...]) -> None:
    client_create(name="other")
    if words[0] == "restore":
        _run("delete", _id(talk), "--workspace", "agent")
    before = list(Conversation.objects.values())
    given = [_id(talk) if word == "ID" else word for word in words]
    for reach in (("--workspace", "other"), ("--client", "other")):
        with pytest.raises(CommandError, match="There is no such conversation"):
            _run(*given, *reach)
    assert list(Conversation.objects.values()) == before


def test_lists_and_searches_stay_within_their_workspace(talk: Conversation) -> None:
    client_create(name="other")
    client_create(name="mate", workspace="agent")
    for reach in (("--workspace", "other"), ("--client", "other"), ("--client", "mate")):
        assert _run("list", *reach).strip() == "None."
        assert _run("search", "breaker", *reach).strip() == "Nothing was found."
    assert len(_json("list", "--all-workspaces")["conversations"]) == 1
    assert len(_json("search", "breaker", "--all-workspaces")["hits"]) == 1


def test_a_workspace_that_its_clients_have_left_is_still_there(talk: Conversation, agent: ApiClient) -> None:
    ApiClient.objects.filter(pk=agent.pk).update(workspace="elsewhere")
    assert len(_json("list", "--workspace", "agent")["conversations"]) == 1
    assert _json("list", "--workspace", "elsewhere")["conversations"] == []


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (("list",), "one of the arguments --workspace --client --all-workspaces is required"),
        (("list", "--workspace", "none"), "There is no workspace 'none'. There are: agent."),
        (("list", "--client", "none"), "There is no client 'none'. There are: agent."),
        (("list", "--workspace", "agent", "--since", "yesterday"), "is no date"),
        (("list", "--workspace", "agent", "--limit", "0"), "is no number from 1 on"),
        (("list", "--workspace", "agent", "--after", "x"), "no place in the list"),
        (("fork", "ID", "--turn", "3", "--workspace", "agent"), "has 2 turns"),
        (("rename", "ID", " ", "--workspace", "agent"), "1 to 200 characters"),
        (("rename", "ID", "caf\udce9", "--workspace", "agent"), "no text in UTF-8"),
        (("search", "caf\udce9", "--workspace", "agent"), "no text in UTF-8"),
        (("list", "--model", "caf\udce9", "--workspace", "agent"), "no text in UTF-8"),
        (("show", "zz", "--workspace", "agent"), "There is no such conversation"),
    ],
)
def test_what_cannot_be_done_is_said(talk: Conversation, words: tuple[str, ...], said_: str) -> None:
    with pytest.raises(CommandError, match=said_):
        _run(*(_id(talk) if word == "ID" else word for word in words))


def test_the_beginning_of_an_id_must_be_unambiguous(agent: ApiClient) -> None:
    for ending in "01":
        said(agent, continuation_id=f"abcd0000-0000-4000-8000-00000000000{ending}")
    with pytest.raises(CommandError, match="write more of the id"):
        _run("show", "abcd", "--workspace", "agent")


def test_a_terminal_obeys_nothing_that_was_said(agent: ApiClient) -> None:
    conversation = said(agent, "\x1b]0;evil\x07 and \x9b31m", "b\rc", title="\x1b[2Jtitle\nforged line")
    for words in (("list",), ("search", "evil"), ("show", _id(conversation)), ("export", _id(conversation))):
        text = _run(*words, "--workspace", "agent", output=_Terminal())
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\r"}
    assert len(_run("list", "--workspace", "agent").splitlines()) == 2

"""Listing, forking, the bin, export: what people do with conversations."""

import json
import re
import tracemalloc
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import services
from conversations.exporting import ExportFormat, conversation_exported
from conversations.facts import conversation_facts
from conversations.forking import conversation_fork
from conversations.listing import Chosen, conversations_listed
from conversations.models import CallStatus, Conversation, ConversationFile, Message, StoredFile, ToolCall
from conversations.selectors import every_page, get_conversation_messages
from conversations.services import (
    conversation_delete,
    conversation_restore,
    conversations_purge,
    conversations_remove_expired,
)
from conversations.tasks import remove_expired
from exai.access import client_create
from exai.models import ApiClient
from exai.protocol.errors import InvalidValue
from exai.settings.hub import parse
from tests.conversations.said import go_on, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> ApiClient:
    return client_create(name="agent")[0]


def _file(workspace: str, name: str = "a.txt") -> StoredFile:
    return StoredFile.objects.create(
        workspace=workspace, storage_path=str(uuid.uuid4()), original_name=name, mime_type="text/plain", size_bytes=3
    )


def _call(conversation: Conversation, **fields: Any) -> ToolCall:
    now = timezone.now()
    values = {"tool": "chat", "status": CallStatus.SUCCEEDED, "started_at": now, "ended_at": now, **fields}
    return ToolCall.objects.create(
        client=conversation.client, workspace=conversation.workspace, conversation=conversation, **values
    )


def test_the_list_is_paged_without_doubles_while_turns_are_added(agent: ApiClient) -> None:
    # Half of them were used at the same moment.
    moment = timezone.now() - timedelta(hours=1)
    made = [said(agent, used=moment + timedelta(seconds=number // 4)) for number in range(8)]
    expected = [one.pk for one in reversed(made)]
    seen: list[int] = []
    place = None
    while True:
        page = conversations_listed(Chosen("agent"), after=place, limit=3)
        seen += [row.id for row in page.conversations]
        # What was listed already moves to the front, and something new comes.
        Conversation.objects.filter(pk=seen[-1]).update(updated_at=timezone.now())
        said(agent)
        place = page.next
        if place is None:
            break
    assert seen == expected


def test_a_page_of_the_list_reads_no_more_rows_than_it_shows(agent: ApiClient) -> None:
    Conversation.objects.bulk_create(
        Conversation(client=agent, workspace="agent" if number < 3_000 else "other", updated_at=timezone.now())
        for number in range(6_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations")
    with CaptureQueriesContext(connection) as queries:
        place = conversations_listed(Chosen("agent"), limit=50).next
        conversations_listed(Chosen("agent"), after=place, limit=50)
    assert len(queries) == 2
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
            ((plan,),) = cursor.fetchone()
        assert 51 <= _rows_of_conversations(plan["Plan"]) < 100


def _rows_of_conversations(node: dict[str, Any]) -> float:
    read: float = sum(_rows_of_conversations(inner) for inner in node.get("Plans", []))
    if node.get("Relation Name") == "conversations":
        read += node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return read


def test_the_list_can_be_narrowed(agent: ApiClient) -> None:
    mate = client_create(name="mate", workspace="agent")[0]
    old = said(agent, used=timezone.now() - timedelta(days=2), model="m1")
    new = said(mate, "a", "b", "c", "d", model="m2")
    for chosen, expected in (
        (Chosen("agent"), [new, old]),
        (Chosen("other"), []),
        (Chosen("agent", client="mate"), [new]),
        (Chosen("agent", model="m1"), [old]),
        (Chosen("agent", model="vendor/m2"), [new]),
        (Chosen("agent", since=timezone.now() - timedelta(days=1)), [new]),
        (Chosen("agent", in_bin=True), []),
    ):
        assert [row.id for row in conversations_listed(chosen).conversations] == [one.pk for one in expected]
    assert [row.turns for row in conversations_listed(Chosen("agent")).conversations] == [2, 0]


def test_messages_are_paged_both_ways_without_gaps_while_turns_are_added(agent: ApiClient) -> None:
    conversation = said(agent, *map(str, range(10)))
    backwards: list[int] = []
    before = None
    while page := get_conversation_messages(conversation, before=before, limit=3):
        backwards = [message.position for message in page] + backwards
        before = backwards[0]
        go_on(conversation, ["more"])
    assert backwards == list(range(10))
    forwards = [message.position for page in every_page(conversation.pk, limit=4) for message in page]
    assert forwards == list(range(conversation.messages.count()))


def test_a_page_ends_where_it_would_be_too_large(agent: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conversations.selectors.MOST_BYTES_A_PAGE", 1_000)
    conversation = said(agent, "small", "x" * 5_000, "small", "small")
    pages = [[message.position for message in page] for page in every_page(conversation.pk)]
    assert [position for page in pages for position in page] == [0, 1, 2, 3]
    assert pages[0] == [0, 1]
    assert [message.position for message in get_conversation_messages(conversation)] == [1, 2, 3]


def test_a_fork_takes_the_first_turns_and_their_files(agent: ApiClient) -> None:
    mate = client_create(name="mate", workspace="agent")[0]
    first, second, foreign = _file("agent"), _file("agent"), _file("elsewhere")
    source = said(agent, title="t" * 200)
    go_on(source, ["one", "1"], files=[{"id": str(file.pk), "name": "f"} for file in (first, foreign)])
    go_on(source, ["two", "2"], files=[{"id": str(second.pk), "name": "f"}, {"id": str(uuid.uuid4()), "name": "gone"}])
    fork = conversation_fork(conversation=source, turns=1, client_id=mate.pk)
    assert fork.continuation_id != source.continuation_id
    assert (fork.client, fork.workspace, fork.model) == (mate, "agent", "m")
    assert len(fork.title) == 200
    assert fork.title.endswith(" (fork)")
    assert (fork.details.forked_from, fork.details.forked_at_turn) == (str(source.continuation_id), 1)
    assert [message.content for message in get_conversation_messages(fork)] == ["one", "1"]
    assert set(ConversationFile.objects.filter(conversation=fork).values_list("file_id", flat=True)) == {first.pk}
    whole = conversation_fork(conversation=source, client_id=agent.pk)
    assert whole.details.forked_at_turn == 2
    assert ConversationFile.objects.filter(conversation=whole).count() == 2
    # Each goes its own way.
    go_on(fork, ["three", "3"])
    assert source.messages.count() == 4


@pytest.mark.parametrize("turns", [0, 3, -1, 10**12])
def test_a_fork_at_a_turn_that_there_is_not_is_refused(agent: ApiClient, turns: int) -> None:
    source = said(agent, "one", "1", "two", "2", "not answered yet")
    with pytest.raises(InvalidValue, match="has 2 turns"):
        conversation_fork(conversation=source, turns=turns, client_id=agent.pk)
    with pytest.raises(InvalidValue, match="no turns"):
        conversation_fork(conversation=said(agent), client_id=agent.pk)
    assert Conversation.objects.count() == 2


def test_the_bin_is_emptied_of_what_is_old_in_small_batches(agent: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BATCH", 2)
    kept, binned = said(agent, "a"), said(agent, "b")
    gone = [said(agent, "c") for _ in range(5)]
    for conversation in (binned, *gone):
        assert conversation_delete(conversation=conversation)
        assert not conversation_delete(conversation=conversation)
    Conversation.objects.filter(pk__in=[one.pk for one in gone]).update(deleted_at=timezone.now() - timedelta(days=8))
    assert conversations_purge(days_in_bin=7) == 5
    assert set(Conversation.objects.all()) == {kept, binned}
    assert Message.objects.count() == 2
    assert conversation_restore(conversation=binned)
    assert not conversation_restore(conversation=binned)
    assert conversations_purge(days_in_bin=0) == 0


def test_the_hourly_task_empties_the_bin_and_retention_reaches_into_it(
    agent: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.tasks.hub_settings", lambda: parse({"EXAI_BIN_DAYS": "0"}))
    said(agent, deleted_at=timezone.now())
    kept = said(agent, used=timezone.now() - timedelta(days=5))
    remove_expired()
    assert list(Conversation.objects.all()) == [kept]
    conversation_delete(conversation=kept)
    assert conversations_remove_expired(older_than_days=4) == 1


def test_unknown_costs_are_in_no_sum(agent: ApiClient) -> None:
    conversation = said(agent, "a", "b")
    _call(conversation, input_tokens=10, output_tokens=5, cost=Decimal("0.5"), model="m")
    _call(conversation, input_tokens=1, output_tokens=1, model="mystery")
    facts = conversation_facts(conversation)
    assert (facts.turns, facts.usage.tokens, facts.usage.known_cost, facts.usage.unpriced) == (1, 17, Decimal("0.5"), 1)


def test_json_holds_everything_and_no_secret(agent: ApiClient) -> None:
    file = _file("agent", "näme.txt")
    conversation = said(agent, title='"quoted"')
    go_on(conversation, ["ask\x01 ☃", "answer"], reasoning="because", files=[{"id": str(file.pk), "name": "n"}])
    ConversationFile.objects.create(conversation=conversation, file=file)
    calls = [_call(conversation, cost=Decimal("0.1"), input_tokens=1, model="m") for _ in range(3)]
    document = json.loads("".join(conversation_exported(conversation, ExportFormat.JSON)))
    assert document["schema"] == "exai.conversation/1"
    assert document["conversation"]["continuation_id"] == str(conversation.continuation_id)
    assert [message["content"] for message in document["messages"]] == ["ask\x01 ☃", "answer"]
    assert document["messages"][1]["reasoning"] == "because"
    assert document["messages"][0]["files"] == [{"id": str(file.pk), "name": "n"}]
    assert [entry["name"] for entry in document["files"]] == ["näme.txt"]
    assert {call["id"] for call in document["calls"]} == {str(call.pk) for call in calls}
    assert document["calls"][0]["cost"] == "0.10000000"
    assert agent.token_hash not in json.dumps(document)
    empty = json.loads("".join(conversation_exported(said(agent), ExportFormat.JSON)))
    assert (empty["messages"], empty["calls"]) == ([], [])


def test_nothing_that_was_said_breaks_out_of_its_fence(agent: ApiClient) -> None:
    hostile = "```\n# Forged\n````\n</details>\n``````python\nx"
    conversation = said(agent, title="A # title\n## with `lines` <b>")
    go_on(conversation, [hostile, hostile], reasoning=hostile, files=[{"id": str(uuid.uuid4()), "name": "a\n# b"}])
    document = "".join(conversation_exported(conversation, ExportFormat.MARKDOWN))
    assert document.startswith("# A \\# title \\#\\# with \\`lines\\` \\<b\\>\n")
    fence = ""
    outside: list[str] = []
    inside: list[str] = []
    for line in document.split("\n"):
        opened = re.fullmatch(r"(`{3,})markdown", line)
        if not fence and opened:
            fence = opened[1]
        elif fence and re.fullmatch(r"`{3,}\s*", line) and len(line.strip()) >= len(fence):
            fence = ""
        else:
            (inside if fence else outside).append(line)
    assert not fence
    assert "\n".join(inside) == "\n".join([hostile] * 4)
    assert [line for line in outside if line.startswith("#")][1:] == ["## 1. User", "## 2. Assistant"]
    assert outside.count("</details>") == 2


@pytest.mark.parametrize("format_", ExportFormat)
def test_an_export_takes_the_memory_of_a_page_however_long_it_is(agent: ApiClient, format_: ExportFormat) -> None:
    conversation = said(agent)
    for _ in range(20):
        go_on(conversation, ["x" * 100_000] * 20)
    tracemalloc.start()
    try:
        length = sum(len(piece) for piece in conversation_exported(conversation, format_))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length > 40_000_000
    assert peak < 28_000_000

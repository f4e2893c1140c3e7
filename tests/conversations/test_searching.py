"""Full-text search: what is found, what is not, and that no text is a wrong query."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from conversations import searching
from conversations.models import Conversation, Message, MessageWords
from conversations.searching import SearchTooBroad, search
from conversations.services import conversation_delete, conversation_rename, conversation_restore
from conversations.words import find_words
from exai.access import client_create
from exai.models import ApiClient
from tests.conversations.said import go_on, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> ApiClient:
    return client_create(name="agent")[0]


@pytest.fixture(params=["due", "found"])
def words(request: pytest.FixtureRequest) -> None:
    """Whether the worker has found out the words already: it must make no difference."""
    request.param == "due" or request.getfixturevalue("found_at_once")


@pytest.fixture
def found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is asked at once, and has all words."""
    monkeypatch.setattr(searching, "_READ_THROUGH", 0)
    rows = searching._rows

    def with_words(*given: object) -> object:
        find_words()
        return rows(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "_rows", with_words)


def _positions(asked: str, workspace: str | None = "agent", **given: object) -> list[int]:
    return [hit.position for hit in search(asked, workspace=workspace, **given).hits]  # type: ignore[arg-type]


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(
    ("asked", "positions"),
    [
        ("breaker", [3, 0]),
        ("Circuit BREAKER", [0]),
        ("circuit or settings", [2, 0]),
        ("breaker -circuit", [3]),
        ('"breaker opens"', [3]),
        ('"opens breaker"', []),
        ("hub", [2]),
        ("hub_settings", [2]),
        ("exai/settings/hub.py", [2]),
        ("break*", [3, 0]),
        ("-circuit break*", [3]),
        ("breaker -circ*", [3]),
        ("breake", []),
        ("grüße", [1]),
        ("привет", [1]),
        ("title", [0]),
        ("nothing", []),
        ("' & | ! ( ) :* <-> \\", []),
        ("", []),
        ("\x00", []),
    ],
)
def test_words_are_found_in_any_language_and_in_code(agent: ApiClient, asked: str, positions: list[int]) -> None:
    said(
        agent,
        "What is a circuit breaker?",
        "Grüße, Привет.",
        "Where is exai/settings/hub.py, or hub_settings()?",
        "The breaker opens.",
    )
    assert _positions(asked) == positions


@pytest.mark.usefixtures("words")
def test_only_the_workspace_is_searched_unless_all_are(agent: ApiClient) -> None:
    other = client_create(name="other")[0]
    mine, theirs = said(agent, "alpha"), said(other, "alpha")
    assert [hit.continuation_id for hit in search("alpha", workspace="agent").hits] == [mine.continuation_id]
    assert [hit.continuation_id for hit in search("alpha", workspace="other").hits] == [theirs.continuation_id]
    assert _positions("alpha", "o'ther \\ & other") == []
    assert len(_positions("alpha", None)) == 2
    assert _positions("agent") == _positions("other") == []


@pytest.mark.usefixtures("words")
def test_pages_go_on_where_the_one_before_ended_while_turns_are_added(agent: ApiClient) -> None:
    conversation = said(agent, *(f"alpha {number}" for number in range(7)))
    seen, before = [], None
    while True:
        page = search("alpha", workspace="agent", before=before, limit=3)
        seen += [hit.position for hit in page.hits]
        go_on(conversation, ["alpha"])
        before = page.before
        if before is None:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.usefixtures("found_at_once")
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_go_on_through_all_spans_of_the_index(agent: ApiClient, limit: int) -> None:
    conversation = said(agent)
    ids = [10**9 + span * 30_000 for span in range(12)]
    Message.objects.bulk_create(
        Message(
            id=id_, conversation=conversation, position=place, role="user", content="alpha", idempotency_key=str(id_)
        )
        for place, id_ in enumerate(ids)
    )
    for workspace in ("agent", None):
        seen: list[int] = []
        before = None
        while True:
            page = search("alpha", workspace=workspace, before=before, limit=limit)
            seen += [hit.message_id for hit in page.hits]
            before = page.before
            if before is None:
                break
        assert seen == ids[::-1]


@pytest.mark.usefixtures("words")
def test_what_is_in_the_bin_is_not_found_until_it_is_restored(agent: ApiClient) -> None:
    conversation = said(agent, "alpha")
    conversation_delete(conversation=conversation)
    assert _positions("alpha") == []
    conversation_restore(conversation=conversation)
    assert _positions("alpha") == [0]


@pytest.mark.usefixtures("words")
def test_only_conversations_of_a_client_are_found_when_one_is_named(agent: ApiClient) -> None:
    mate = client_create(name="mate", workspace="agent")[0]
    said(agent, "alpha")
    said(mate, "one", "alpha")
    assert _positions("alpha", client_id=mate.pk) == [1]


def test_a_new_title_is_found_and_the_old_one_is_not(agent: ApiClient) -> None:
    conversation = said(agent, "text", "more", title="before")
    find_words()
    conversation_rename(conversation=conversation, title="afterwards")
    assert (_positions("before"), _positions("afterwards"), _positions("text")) == ([], [0], [0])
    find_words()
    assert (_positions("before"), _positions("afterwards"), _positions("text")) == ([], [0], [0])


def test_words_go_with_their_messages_and_change_with_them(agent: ApiClient) -> None:
    conversation = said(agent, "alpha", "beta")
    assert find_words() == 2
    assert find_words() == 0
    Message.objects.filter(conversation=conversation, position=1).update(content="gamma")
    assert (_positions("beta"), _positions("gamma")) == ([], [1])
    Conversation.objects.all().delete()
    assert not MessageWords.objects.exists()


def test_the_snippet_shows_the_words_where_they_stand(agent: ApiClient) -> None:
    said(agent, "x " * 500 + "the Needle_case <b>lies</b>\n here " + "y " * 500)
    (hit,) = search("needle", workspace="agent").hits
    assert [text for text, match in hit.snippet if match] == ["Needle"]
    text = "".join(text for text, _ in hit.snippet)
    assert text.startswith("… x")
    assert "the Needle_case <b>lies</b> here y" in text
    assert len(text) < 350


@pytest.mark.parametrize(
    "text",
    [
        "".join(chr(0x20000 + number) + " " for number in range(60_000)),
        "/".join(f"path{number}" for number in range(200_000)),
        "-".join(f"{number:x}" for number in range(300_000)),
        "http://a.b/" + "?".join(f"{number}" for number in range(200_000)),
        "w" * 5_000_000,
        "İ" * 3_000 + " " + "İ " * 500_000,
    ],
)
def test_no_text_is_too_much_for_the_index(agent: ApiClient, text: str) -> None:
    said(agent, "needle " + text)
    assert find_words() == 1
    assert _positions("needle") == [0]


def test_a_search_that_takes_too_long_says_so(agent: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PATIENCE_MS", 20)
    monkeypatch.setattr(searching, "_HIT", ", pg_sleep(10) " + searching._HIT)
    said(agent, "alpha")
    with pytest.raises(SearchTooBroad, match="rarer words"):
        search("alpha", workspace="agent")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


class TestAnyText(TestCase):
    @given(st.text(max_size=60) | st.text(alphabet=" '\"-*:&|!()<>\\orab\x00\udc80%", max_size=40))
    def test_is_a_query(self, asked: str) -> None:
        search(asked, workspace=asked.replace("\x00", " ").encode("utf-8", "replace").decode())
        search(asked, workspace=None)


@pytest.mark.django_db(transaction=True)
def test_several_workers_find_each_message_out_once_while_others_are_removed(agent: ApiClient) -> None:
    kept = [said(agent, *(f"alpha {number}" for number in range(30))) for _ in range(10)]
    gone = [said(agent, *(f"alpha {number}" for number in range(30))) for _ in range(10)]

    def in_a_thread(work: Callable[[], int]) -> int:
        try:
            return work()
        finally:
            connection.close()

    def remove() -> int:
        for conversation in gone:
            Conversation.objects.filter(pk=conversation.pk).delete()
        return 0

    with ThreadPoolExecutor() as threads:
        found = list(threads.map(in_a_thread, [find_words, remove, find_words, find_words]))
    found.append(find_words())
    assert 300 <= sum(found) <= 600
    assert MessageWords.objects.filter(words__isnull=False).count() == MessageWords.objects.count() == 300
    assert {words.message.conversation_id for words in MessageWords.objects.select_related("message")} == {
        one.pk for one in kept
    }

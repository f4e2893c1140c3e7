"""Conversations in the admin, of the real server, as operators meet them."""

import html
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from tests.conftest import MakeClient
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in

_PASSWORD = "correct horse battery staple"
_LIST = "/admin/conversations/conversation/"
Say = Callable[..., int]


@pytest.fixture(scope="module")
def operator(hub: RunningHub, hub_database_url: str) -> Browser:
    return _signed_in(hub, hub_database_url, "conversations-operator", superuser=True)


def _signed_in(hub: RunningHub, url: str, name: str, *, superuser: bool, may: tuple[str, ...] = ()) -> Browser:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
            " email, date_joined) VALUES (%s, %s, true, %s, true, '', '', '', now())",
            (name, make_password(_PASSWORD), superuser),
        )
        database.execute(
            "INSERT INTO auth_user_user_permissions (user_id, permission_id) SELECT u.id, p.id"
            " FROM auth_user u, auth_permission p WHERE u.username = %s AND p.codename = ANY(%s)",
            (name, list(may)),
        )
    return sign_in(hub.http_url, name, _PASSWORD)


@pytest.fixture
def say(database: psycopg.Connection, make_client: MakeClient) -> Say:
    """Makes a conversation of these messages; its number."""

    def make(*texts: str, title: str = "A title", workspace: str = "", metadata: dict[str, Any] | None = None) -> int:
        name, _ = make_client(workspace=workspace or None)
        ((id_,),) = database.execute(
            "INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata, created_at,"
            " updated_at) SELECT %s, id, workspace, %s, 'm', '{}', now(), now() FROM clients WHERE name = %s"
            " RETURNING id",
            (uuid.uuid4(), title, name),
        ).fetchall()
        for position, text in enumerate(texts):
            database.execute(
                "INSERT INTO messages (conversation_id, position, role, content, model, provider, metadata,"
                " idempotency_key, created_at) VALUES (%s, %s, %s, %s, 'm', 'p', %s, %s, now())",
                (id_, position, ("user", "assistant")[position % 2], text, json.dumps(metadata or {}), str(position)),
            )
        return int(id_)

    return make


def _listed(page: str) -> list[int]:
    return [int(id_) for id_ in dict.fromkeys(re.findall(rf'href="{_LIST}(\d+)/change/', page))]


def test_the_list_is_searched_by_the_words_of_messages(operator: Browser, say: Say) -> None:
    word = f"needle{uuid.uuid4().hex}"
    first, second = say("hay", f"a {word}, found"), say(f"{word} or_{word}", title="Other")
    say("hay")
    _, page, _ = operator.get(f"{_LIST}?q={word}")
    assert sorted(_listed(page)) == [first, second]
    _, page, _ = operator.get(f"{_LIST}?q={word}+-found")
    assert _listed(page) == [second]
    assert operator.get(f"{_LIST}?q=%00")[0] == 200
    for odd in ("%27%22%26%7C%21%28%3A%2A", "zzzz"):
        status, page, _ = operator.get(f"{_LIST}?q={odd}")
        assert (status, _listed(page)) == (200, [])


def test_the_list_is_searched_by_the_beginning_of_an_id(
    operator: Browser, say: Say, database: psycopg.Connection
) -> None:
    id_ = say("hay")
    row = database.execute("SELECT continuation_id::text FROM conversations WHERE id = %s", (id_,)).fetchone()
    assert row is not None
    for beginning in (row[0], row[0][:13]):
        assert _listed(operator.get(f"{_LIST}?q={beginning}")[1]) == [id_]


def test_the_bin_is_searched_by_words_too(operator: Browser, say: Say, database: psycopg.Connection) -> None:
    id_, deleted = say("Where is the thimble?", "There."), say("No thimble here.", "Nor there.")
    database.execute("UPDATE conversations SET deleted_at = now() WHERE id = %s", (deleted,))
    _, page, _ = operator.get(f"{_LIST}?q=thimble")
    assert _listed(page) == [id_]
    _, page, _ = operator.get(f"{_LIST}?q=thimble&bin=yes")
    assert _listed(page) == [deleted]


def test_the_list_is_narrowed_by_workspace_model_and_bin(operator: Browser, say: Say) -> None:
    workspace = f"w{uuid.uuid4().hex}"
    id_ = say("a", "b", "c", "d", workspace=workspace)
    status, page, _ = operator.get(f"{_LIST}?workspace={workspace}&model=m")
    assert (status, _listed(page)) == (200, [id_])
    assert re.search(r"field-turns[^>]*>\s*2\s*<", page)
    assert _listed(operator.get(f"{_LIST}?workspace={workspace}&model=other")[1]) == []
    assert _listed(operator.get(f"{_LIST}?workspace={workspace}&bin=yes")[1]) == []


def test_a_conversation_reads_as_a_thread_and_nothing_of_it_is_obeyed(operator: Browser, say: Say) -> None:
    evil = '<script>alert(1)</script>\n    indented & "quoted"'
    long = "long " * 2_000
    file = {"id": str(uuid.uuid4()), "name": "<b>.txt"}
    id_ = say(evil, long, title="<img src=x>", metadata={"reasoning": "<i>why</i>", "files": [file], "tool": "chat"})
    status, page, _ = operator.get(f"{_LIST}{id_}/change/")
    assert status == 200
    assert html.escape(evil).replace("&#x27;", "'") in page
    for tag in ("<script>alert", "<img src=x", "<i>why", "<b>.txt"):
        assert tag not in page
    assert "1 turn, 0 tokens" in page
    assert f"The rest of {len(long)} characters" in page
    assert html.unescape(page).count("long ") == 2_000
    assert "p/m" in page


def test_a_conversation_of_workflow_steps_alone_shows_them(
    operator: Browser, say: Say, database: psycopg.Connection
) -> None:
    id_ = say(title=f"It hangs {uuid.uuid4().hex}")
    for position in range(22):
        step = {"number": position + 1, "total": 30, "text": f"Look {position}", "findings": "<b>" + "x" * 3_000}
        database.execute(
            "INSERT INTO workflow_steps (conversation_id, position, tool, content, call_id, created_at)"
            " VALUES (%s, %s, 'debug', %s, %s, now())",
            (id_, position, json.dumps(step), uuid.uuid4()),
        )
    status, page, _ = operator.get(f"{_LIST}{id_}/change/")
    assert status == 200
    assert "Nothing has been said here yet." not in page
    assert "2 earlier steps are in the exports." in page
    assert "debug, step 22 of 30" in page
    assert "Look 21" in page
    assert ">Look 1\n" not in page
    assert ">Look 2\n" in page
    assert "&lt;b&gt;xxx" in page
    assert "12 more characters are in the exports." in page


def test_a_long_conversation_is_paged_both_ways(operator: Browser, say: Say) -> None:
    id_ = say(*(f"said-{number}-" for number in range(100)))
    url = f"{_LIST}{id_}/change/"
    seen: list[str] = []
    link = ""
    while True:
        _, page, _ = operator.get(url + link)
        seen = re.findall(r"said-\d+-", page.partition('id="m')[2]) + seen
        older = re.search(r'href="(\?before=\d+)"', page)
        if older is None:
            break
        link = older[1]
    assert seen == [f"said-{number}-" for number in range(100)]
    newer = re.search(r'href="(\?after=\d+)"', page)
    assert newer is not None
    assert "said-20-" in operator.get(url + newer[1])[1]
    for odd in ("?before=x", "?after=-1", "?before=99999999999999999999"):
        assert operator.get(url + odd)[0] == 200


def test_it_is_exported_in_both_formats(operator: Browser, say: Say) -> None:
    id_ = say("ask", "answer")
    status, text, headers = operator.get(f"{_LIST}{id_}/export/markdown/")
    assert (status, headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert text.startswith("# A title\n")
    document = json.loads(operator.get(f"{_LIST}{id_}/export/json/")[1])
    assert [message["content"] for message in document["messages"]] == ["ask", "answer"]
    assert operator.get(f"{_LIST}{id_}/export/pdf/")[0] == 404


def test_a_fork_leads_back_to_its_source(operator: Browser, say: Say) -> None:
    id_ = say("one", "1", "two", "2")
    _, page, _ = operator.get(f"{_LIST}{id_}/change/")
    status, fork, _ = operator.post(f"{_LIST}{id_}/fork/", page, [("turn", "1")])
    assert status == 200
    assert "1 turn, 0 tokens" in fork
    assert f'href="{_LIST}{id_}/change/"' in fork
    for wrong in ("0", "3", "x"):
        _, refused, _ = operator.post(f"{_LIST}{id_}/fork/", page, [("turn", wrong)])
        assert "Not forked. This conversation has 2 turns." in refused


def test_deleting_asks_first_and_can_be_undone_and_is_logged(
    operator: Browser, say: Say, database: psycopg.Connection
) -> None:
    id_ = say("one", "1")
    _, asked, _ = operator.get(f"{_LIST}{id_}/delete/")
    assert "It can be restored for 7 days." in asked
    assert _deleted(database, id_) is False
    operator.post(f"{_LIST}{id_}/delete/", asked, [])
    assert _deleted(database, id_) is True
    _, page, _ = operator.get(f"{_LIST}{id_}/change/")
    assert "In the bin since" in page
    assert "Fork after" not in page
    _, asked, _ = operator.get(f"{_LIST}{id_}/restore/")
    operator.post(f"{_LIST}{id_}/restore/", asked, [])
    assert _deleted(database, id_) is False
    logged = database.execute(
        "SELECT change_message, object_repr FROM django_admin_log WHERE object_id = %s ORDER BY id", (str(id_),)
    ).fetchall()
    assert [message for message, _ in logged] == ["Moved to the bin.", "Taken out of the bin."]
    assert not any("A title" in named for _, named in logged), "the log outlives what was said"


def test_several_are_deleted_at_once_after_a_question(
    operator: Browser, say: Say, database: psycopg.Connection
) -> None:
    ids = [say("a"), say("b")]
    fields = [("action", "bin_selected"), *(("_selected_action", str(id_)) for id_ in ids)]
    _, page, _ = operator.get(_LIST)
    assert "delete_selected" not in page
    _, asked, _ = operator.post(_LIST, page, fields)
    assert "2 conversations" in asked
    assert not any(_deleted(database, id_) for id_ in ids)
    operator.post(_LIST, asked, [*fields, ("confirmed", "yes")])
    assert all(_deleted(database, id_) for id_ in ids)


def test_who_may_only_look_changes_nothing(
    hub: RunningHub, hub_database_url: str, operator: Browser, say: Say, database: psycopg.Connection
) -> None:
    id_ = say("one", "1")
    viewer = _signed_in(hub, hub_database_url, "conversations-viewer", superuser=False, may=("view_conversation",))
    status, page, _ = viewer.get(f"{_LIST}{id_}/change/")
    assert status == 200
    for words in ("Delete…", "Fork after", ">call</a>"):
        assert words not in page
    _, form, _ = viewer.get("/admin/password_change/")
    for path in ("delete/", "restore/", "fork/", "change/"):
        assert viewer.post(f"{_LIST}{id_}/{path}", form, [("turn", "1")])[0] == 403
    assert _deleted(database, id_) is False
    stranger = _signed_in(hub, hub_database_url, "conversations-stranger", superuser=False)
    for path in ("change/", "export/json/", "delete/"):
        assert stranger.get(f"{_LIST}{id_}/{path}")[0] == 403
    for path in ("9999999999999999999999/change/", "x/change/", "0/export/json/"):
        assert operator.get(f"{_LIST}{path}")[0] == 404


def _deleted(database: psycopg.Connection, id_: int) -> bool:
    row = database.execute("SELECT deleted_at IS NOT NULL FROM conversations WHERE id = %s", (id_,)).fetchone()
    assert row is not None
    return bool(row[0])

"""Conversations over the HTTP API of the real server; those that are continued, over its wire too."""

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.api.caller import ApiCaller
from tests.conftest import MakeClient
from tests.gateway.wire import Frame, envelope, wire
from tests.hub import RunningHub

_LIST = "/api/conversations/"


@pytest.fixture
def mine(hub: RunningHub, token: str) -> ApiCaller:
    return ApiCaller(hub.http_url, token)


@pytest.fixture
def theirs(hub: RunningHub, make_client: MakeClient) -> ApiCaller:
    """A caller of another workspace."""
    return ApiCaller(hub.http_url, make_client()[1])


async def _say(hub: RunningHub, token: str, prompt: str, **arguments: Any) -> Frame:
    """The result of one turn."""
    async with wire(hub.ws_url, token) as connection:
        request_id = str(uuid.uuid4())
        arguments = {"prompt": prompt, "model": "exai-echo", **arguments}
        return (await connection.call("chat", arguments, request_id))[-1]


def _talk(hub: RunningHub, token: str, *prompts: str) -> str:
    """A conversation; its id."""

    async def talk() -> str:
        id_ = ""
        more: dict[str, str] = {}
        for prompt in prompts:
            result = await _say(hub, token, prompt, **more)
            assert result["ok"], result["error"]
            id_ = str(envelope(result)["continuation_offer"]["continuation_id"])
            more = {"continuation_id": id_}
        return id_

    return asyncio.run(talk())


def _continue(hub: RunningHub, token: str, id_: str) -> Frame:
    return asyncio.run(_say(hub, token, f"and on {uuid.uuid4()}", continuation_id=id_))


def test_conversations_are_listed_shown_and_found(hub: RunningHub, token: str, mine: ApiCaller) -> None:
    id_ = _talk(hub, token, "Needle one", "two")
    (listed,) = mine.get(_LIST).json["conversations"]
    assert (listed["continuation_id"], listed["title"], listed["turns"]) == (id_, "Needle one", 2)
    shown = mine.get(f"{_LIST}{id_}/").json
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 2
    assert (shown["turns"], shown["before"], shown["after"]) == (2, None, None)
    assert [call["tool"] for call in shown["calls"]] == ["chat", "chat"]
    (*_, hit) = mine.get(f"{_LIST}?q=NEEDLE").json["hits"]
    assert (hit["continuation_id"], hit["position"]) == (id_, 0)
    assert hit["snippet"] == [{"text": "Needle", "match": True}, {"text": " one", "match": False}]


def test_a_conversation_shows_its_workflow_steps(hub: RunningHub, token: str, mine: ApiCaller) -> None:
    step = {"step": "It hangs.", "step_number": 1, "total_steps": 2, "next_step_required": True, "findings": "A lock."}

    async def take() -> Frame:
        async with wire(hub.ws_url, token) as connection:
            return envelope((await connection.call("debug", step, str(uuid.uuid4())))[-1])

    id_ = asyncio.run(take())["continuation_id"]
    shown = mine.get(f"{_LIST}{id_}/").json
    assert (shown["title"], shown["turns"], shown["workflow_steps"], shown["messages"]) == ("It hangs.", 0, 1, [])
    [kept] = shown["steps"]
    assert (kept["tool"], kept["step"]["findings"]) == ("debug", "A lock.")


def test_pages_lead_on(hub: RunningHub, token: str, mine: ApiCaller) -> None:
    ids = [_talk(hub, token, f"Needle {number}") for number in range(3)]
    seen, after = [], ""
    while after is not None:
        page = mine.get(f"{_LIST}?limit=1&after={after}").json
        seen += [listed["continuation_id"] for listed in page["conversations"]]
        after = page["next"]
    assert seen == ids[::-1]
    hits, after = [], ""
    while after is not None:
        page = mine.get(f"{_LIST}?q=needle&limit=2&after={after}").json
        hits += [(hit["continuation_id"], hit["position"]) for hit in page["hits"]]
        after = page["next"]
    assert sorted(hits) == sorted({(id_, position) for id_ in ids for position in (0, 1)})
    long = _talk(hub, token, "a", "b", "c")
    page = mine.get(f"{_LIST}{long}/messages?limit=4").json
    assert ([message["position"] for message in page["messages"]], page["before"], page["after"]) == (
        [2, 3, 4, 5],
        2,
        None,
    )
    page = mine.get(f"{_LIST}{long}/messages?limit=4&before=2").json
    assert ([message["position"] for message in page["messages"]], page["before"], page["after"]) == ([0, 1], None, 1)
    page = mine.get(f"{_LIST}{long}/messages?limit=2&after=1").json
    assert [message["position"] for message in page["messages"]] == [2, 3]


def test_a_fork_is_continued_on_its_own(
    hub: RunningHub, token: str, mine: ApiCaller, make_client: MakeClient, database: psycopg.Connection
) -> None:
    id_ = _talk(hub, token, "one", "two")
    answer = mine.post(f"{_LIST}{id_}/fork", {"turn": 1})
    assert answer.status == 201
    fork = answer.json
    assert (fork["turns"], fork["forked_from"], fork["forked_at_turn"]) == (1, id_, 1)
    assert fork["title"] == "one (fork)"
    result = _continue(hub, token, fork["continuation_id"])
    assert result["ok"]
    assert mine.get(f"{_LIST}{fork['continuation_id']}/").json["turns"] == 2
    assert mine.get(f"{_LIST}{id_}/").json["turns"] == 2
    assert mine.post(f"{_LIST}{id_}/fork").json["turns"] == 2


def test_a_deleted_conversation_is_unknown_until_it_is_restored(
    hub: RunningHub, token: str, mine: ApiCaller, theirs: ApiCaller
) -> None:
    id_ = _talk(hub, token, "Needle")
    assert mine.delete(f"{_LIST}{id_}/").json == {"continuation_id": id_, "deleted": True, "days_in_bin": 7}
    unknown = _continue(hub, token, str(uuid.uuid4()))
    assert _continue(hub, token, id_)["error"] == unknown["error"]
    assert unknown["error"]["code"] == "NOT_FOUND"
    assert mine.get(f"{_LIST}{id_}/").error == (404, "NOT_FOUND")
    assert mine.delete(f"{_LIST}{id_}/").error == (404, "NOT_FOUND")
    assert mine.get(_LIST).json["conversations"] == []
    assert mine.get(f"{_LIST}?q=needle").json["hits"] == []
    (binned,) = mine.get(f"{_LIST}?bin=true").json["conversations"]
    assert binned["continuation_id"] == id_
    assert theirs.post(f"{_LIST}{id_}/restore").error == (404, "NOT_FOUND")
    assert mine.post(f"{_LIST}{id_}/restore").json["turns"] == 1
    assert mine.post(f"{_LIST}{id_}/restore").error == (404, "NOT_FOUND")
    assert _continue(hub, token, id_)["ok"]


def test_an_export_is_a_download_in_both_formats(hub: RunningHub, token: str, mine: ApiCaller) -> None:
    id_ = _talk(hub, token, "one", "two")
    answer = mine.get(f"{_LIST}{id_}/export")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="conversation-{id_}.md"'
    assert answer.body.startswith(b"# one\n")
    document = json.loads(mine.get(f"{_LIST}{id_}/export?format=json").body)
    assert len(document["messages"]) == 4
    assert len(document["calls"]) == 2
    assert token not in json.dumps(document)


def test_a_conversation_is_renamed(hub: RunningHub, token: str, mine: ApiCaller) -> None:
    id_ = _talk(hub, token, "one")
    answer = mine.ask("PATCH", f"{_LIST}{id_}/", json.dumps({"title": " New  title "}).encode())
    assert answer.json["title"] == "New title"
    assert mine.ask("PATCH", f"{_LIST}{id_}/", b'{"title": 1}').error == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("GET", "messages"),
        ("GET", "export"),
        ("POST", "fork"),
        ("POST", "restore"),
    ],
)
def test_no_route_tells_a_foreign_conversation_from_an_unknown_one(
    hub: RunningHub, token: str, mine: ApiCaller, theirs: ApiCaller, method: str, path: str
) -> None:
    id_ = _talk(hub, token, "Needle")
    if path == "restore":
        mine.delete(f"{_LIST}{id_}/")
    body = b'{"title": "t"}' if method == "PATCH" else None
    foreign = theirs.ask(method, f"{_LIST}{id_}/{path}", body)
    assert foreign.error == (404, "NOT_FOUND")
    for unknown in (uuid.uuid4(), "nonsense", id_[:8], "%00"):
        assert mine.ask(method, f"{_LIST}{unknown}/{path}", body).body == foreign.body
    assert theirs.get(_LIST).json["conversations"] == []
    assert theirs.get(f"{_LIST}?bin=true").json["conversations"] == []
    assert theirs.get(f"{_LIST}?q=needle").json["hits"] == []


def test_clients_of_a_workspace_share_its_conversations(
    hub: RunningHub, token: str, mine: ApiCaller, make_client: MakeClient
) -> None:
    id_ = _talk(hub, token, "one")
    name = mine.get(f"{_LIST}{id_}/").json["client"]
    mate, mates_token = make_client(workspace=name)
    other = ApiCaller(hub.http_url, mates_token)
    assert other.get(f"{_LIST}{id_}/").status == 200
    fork = other.post(f"{_LIST}{id_}/fork").json
    assert fork["client"] == mate
    assert [row["client"] for row in other.get(f"{_LIST}?client={mate}").json["conversations"]] == [mate]
    assert len(other.get(f"{_LIST}?q=one&client={name}").json["hits"]) == 2
    assert other.get(f"{_LIST}?q=one&client=nobody").json["hits"] == []


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?limit=many", "limit"),
        ("?limit=%D9%A1", "limit"),
        ("?after=nonsense", "after"),
        ("?after=%ff", "after"),
        ("?q=a&after=nonsense", "after"),
        ("?q=a&bin=true", "bin"),
        ("?since=yesterday", "since"),
        ("?bin=maybe", "bin"),
        ("?colour=red", "colour"),
        ("?client=" + "c" * 1001, "client"),
        ("?client=%00", "client"),
        ("?model=a%00", "model"),
        ("?q=a%00", "q"),
        ("ID/messages?before=-1", "before"),
        ("ID/messages?before=1&after=1", "after"),
        ("ID/messages?limit=501", "limit"),
        ("ID/export?format=pdf", "format"),
        ("ID/?colour=red", "colour"),
    ],
)
def test_wrong_parameters_are_named(hub: RunningHub, token: str, mine: ApiCaller, path: str, named: str) -> None:
    id_ = _talk(hub, token, "one") if "ID" in path else ""
    answer = mine.get(_LIST + path.replace("ID", id_))
    assert answer.error == (400, "VALIDATION_ERROR")
    assert named in answer.json["error"]["details"]


def test_too_many_parameters_are_refused(mine: ApiCaller) -> None:
    query = "&".join(f"a{number}=1" for number in range(1_100))
    assert mine.get(f"{_LIST}?{query}").error == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"turn": 2}', (400, "VALIDATION_ERROR")),
        (b'{"turn": 0}', (400, "VALIDATION_ERROR")),
        (b'{"turn": true}', (400, "VALIDATION_ERROR")),
        (b'{"turn": 1.5}', (400, "VALIDATION_ERROR")),
        (b'{"turns": 1}', (400, "VALIDATION_ERROR")),
        (b"[1]", (400, "INVALID_REQUEST")),
        (b"{", (400, "INVALID_REQUEST")),
        (b"\xff", (400, "INVALID_REQUEST")),
        (b'{"turn":' + b"[" * 30_000 + b"]" * 30_000 + b"}", (400, "INVALID_REQUEST")),
        (b" " * 70_000, (413, "CONTENT_TOO_LARGE")),
        (b" " * 4_000_000, (413, "CONTENT_TOO_LARGE")),
    ],
)
def test_a_wrong_body_is_refused(
    hub: RunningHub, token: str, mine: ApiCaller, body: bytes, error: tuple[int, str]
) -> None:
    id_ = _talk(hub, token, "one")
    assert mine.ask("POST", f"{_LIST}{id_}/fork", body).error == error
    assert len(mine.get(_LIST).json["conversations"]) == 1


def test_a_token_with_the_scope_of_tools_is_needed(hub: RunningHub, make_client: MakeClient) -> None:
    _, token = make_client(scopes=("files",))
    assert ApiCaller(hub.http_url, token).get(_LIST).error == (403, "UNAUTHORIZED")
    assert ApiCaller(hub.http_url, None).get(_LIST).error == (401, "UNAUTHORIZED")
    assert ApiCaller(hub.http_url, token).ask("PUT", _LIST).status == 405


def test_a_database_that_goes_away_is_an_error_that_may_be_tried_again(
    mine: ApiCaller, database: psycopg.Connection, hub_database_url: str
) -> None:
    with psycopg.connect(hub_database_url) as holder, ThreadPoolExecutor(1) as other:
        holder.execute("LOCK TABLE conversations")
        answer = other.submit(mine.get, _LIST)
        while not _ended_who_wait_for(database, holder):
            assert not answer.done()
        assert answer.result().error == (503, "SERVICE_UNAVAILABLE")
    assert mine.get(_LIST).status == 200


def _ended_who_wait_for(database: psycopg.Connection, holder: psycopg.Connection) -> bool:
    """Ends the connections that wait for a lock of the holder; whether there was one."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    return bool(database.execute(ended, (holder.info.backend_pid,)).fetchall())

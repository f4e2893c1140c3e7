"""Files over HTTP, of the real server."""

import hashlib
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from tests.api.caller import Answer, ApiCaller, form
from tests.conftest import MakeClient
from tests.hub import RunningHub

CONTENT = b"0123456789" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def caller(hub: RunningHub, token: str) -> ApiCaller:
    return ApiCaller(hub.http_url, token)


@pytest.fixture
def stranger(hub: RunningHub, make_client: MakeClient) -> ApiCaller:
    return ApiCaller(hub.http_url, make_client()[1])


@pytest.fixture
def uploaded(caller: ApiCaller) -> str:
    """The id of a file of the caller's."""
    return str(caller.upload(CONTENT, "digits.txt").json["id"])


def link(database: psycopg.Connection, file_id: str, *, title: str = "a conversation") -> str:
    """A conversation of the file's workspace that uses it; its continuation id."""
    [(continuation_id,)] = database.execute(
        "WITH c AS (INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata,"
        " created_at, updated_at) SELECT %s, clients.id, files.workspace, %s, '', '{}', now(), now()"
        " FROM files JOIN clients USING (workspace) WHERE files.id = %s LIMIT 1 RETURNING id, continuation_id),"
        " l AS (INSERT INTO conversation_files (conversation_id, file_id) SELECT id, %s FROM c)"
        " SELECT continuation_id FROM c",
        (uuid.uuid4(), title, file_id, file_id),
    ).fetchall()
    return str(continuation_id)


def test_an_upload_is_answered_with_what_the_hub_found(caller: ApiCaller) -> None:
    answer = caller.upload(CONTENT, "digits.txt")
    assert answer.status == 201
    described = answer.json
    assert uuid.UUID(described.pop("id"))
    assert described == {
        "sha256": SHA256,
        "size": len(CONTENT),
        "mime_type": "text/plain",  # though the form says image/png
        "duplicate": False,
        "name": "digits.txt",
    }


def test_the_same_content_again_is_the_same_file(caller: ApiCaller, uploaded: str) -> None:
    again = caller.upload(CONTENT, "other.txt")
    assert (again.status, again.json["id"], again.json["duplicate"]) == (200, uploaded, True)


def test_the_bytes_alone_are_taken_with_a_name(caller: ApiCaller) -> None:
    answer = caller.ask("POST", "/api/files/?name=dir%2Fr%C3%A9sum%C3%A9.txt", b"plain", {"Content-Type": "text/html"})
    assert (answer.status, answer.json["name"], answer.json["mime_type"]) == (201, "résumé.txt", "text/plain")
    assert caller.ask("POST", "/api/files/", b"plain").error == (400, "INVALID_REQUEST")


def test_a_chunked_body_is_taken(caller: ApiCaller) -> None:
    answer = caller.ask("POST", "/api/files/?name=a", iter([b"one", b"two"]))
    assert (answer.status, answer.json["size"]) == (201, 6)


def test_several_files_of_a_form_are_answered_as_a_list(caller: ApiCaller) -> None:
    body, content_type = form(("a.txt", b"one"), ("b.txt", b"two"), ("c.txt", b"one"))
    answer = caller.ask("POST", "/api/files/", body, {"Content-Type": content_type})
    assert answer.status == 201
    assert [(file["name"], file["duplicate"]) for file in answer.json] == [
        ("a.txt", False),
        ("b.txt", False),
        ("a.txt", True),
    ]


def test_a_file_is_given_back_as_it_was_and_for_no_browser_to_show(caller: ApiCaller) -> None:
    page = b"<!doctype html><script>alert(1)</script>"
    file_id = caller.upload(page, "a\u202e“b”.html").json["id"]
    answer = caller.get(f"/api/files/{file_id}/content")
    assert (answer.status, answer.body) == (200, page)
    headers = answer.headers
    assert headers["content-disposition"] == "attachment; filename*=utf-8''a%E2%80%9Cb%E2%80%9D.html"
    assert headers["content-length"] == str(len(page))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["etag"] == f'"{hashlib.sha256(page).hexdigest()}"'
    assert headers["cache-control"] == "private, no-cache"


def test_an_empty_file_is_downloaded(caller: ApiCaller) -> None:
    file_id = caller.upload(b"", "empty").json["id"]
    answer = caller.get(f"/api/files/{file_id}/content")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("wanted", "status", "expected", "content_range"),
    [
        ("bytes=0-0", 206, CONTENT[:1], "bytes 0-0/10000"),
        ("bytes=10-19", 206, CONTENT[10:20], "bytes 10-19/10000"),
        ("bytes=9990-", 206, CONTENT[9990:], "bytes 9990-9999/10000"),
        ("bytes=-3", 206, CONTENT[-3:], "bytes 9997-9999/10000"),
        ("bytes=-20000", 206, CONTENT, "bytes 0-9999/10000"),
        ("bytes=5-99999", 206, CONTENT[5:], "bytes 5-9999/10000"),
        ("bytes=10000-", 416, b"", "bytes */10000"),
        ("bytes=-0", 416, b"", "bytes */10000"),
        ("bytes=5-4", 200, CONTENT, None),
        ("bytes=0-1,4-5", 200, CONTENT, None),
        ("lines=1-2", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
        ("bytes=\u0661-2", 200, CONTENT, None),
    ],
)
def test_a_range_is_answered(
    caller: ApiCaller, uploaded: str, wanted: str, status: int, expected: bytes, content_range: str | None
) -> None:
    answer = caller.ask("GET", f"/api/files/{uploaded}/content", headers={"Range": wanted.encode().decode("latin-1")})
    assert (answer.status, answer.body) == (status, expected)
    assert answer.headers.get("content-range") == content_range
    assert answer.headers["content-length"] == str(len(expected))


def test_what_the_caller_has_is_not_sent_again(caller: ApiCaller, uploaded: str) -> None:
    path, tag = f"/api/files/{uploaded}/content", f'"{SHA256}"'
    for header in (tag, f'"other", W/{tag}', "*"):
        answer = caller.get(path, **{"If-None-Match": header})
        assert (answer.status, answer.body) == (304, b"")
    assert caller.get(path, **{"If-None-Match": '"other"'}).status == 200
    assert caller.get(path, **{"Range": "bytes=0-1", "If-Range": tag}).status == 206
    assert caller.get(path, **{"Range": "bytes=0-1", "If-Range": '"other"'}).body == CONTENT


def test_head_says_what_get_would_send(caller: ApiCaller, uploaded: str) -> None:
    path = f"/api/files/{uploaded}/content"
    head, whole = caller.ask("HEAD", path), caller.get(path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10000")
    assert {name: value for name, value in head.headers.items() if name != "date"} == {
        name: value for name, value in whole.headers.items() if name != "date"
    }


def test_files_are_listed_newest_first_page_by_page(caller: ApiCaller) -> None:
    ids = [caller.upload(f"{number}".encode(), f"{number}").json["id"] for number in range(7)]
    seen: list[str] = []
    before, pages = "", 0
    while before is not None:
        page = caller.get(f"/api/files/?limit=3{before and f'&before={before}'}").json
        seen += [file["id"] for file in page["files"]]
        before, pages = page["next"], pages + 1
    assert (seen, pages) == (ids[::-1], 3)


def test_a_page_goes_on_though_files_were_stored_at_once_and_some_are_deleted(
    caller: ApiCaller, database: psycopg.Connection
) -> None:
    ids = [caller.upload(f"{number}".encode(), f"{number}").json["id"] for number in range(6)]
    database.execute("UPDATE files SET created_at = now() WHERE id = ANY(%s)", (ids,))
    first = caller.get("/api/files/?limit=3").json
    caller.delete(f"/api/files/{first['files'][-1]['id']}/")
    second = caller.get(f"/api/files/?limit=3&before={first['next']}").json
    assert sorted(file["id"] for file in first["files"] + second["files"]) == sorted(ids)
    assert second["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=x", "limit=٣", "limit=0000000019999", "limit=" + "1" * 5000),
        *("before=x", "before=" + "9" * 17 + "-" + "a" * 36),
    ],
)
def test_a_page_that_cannot_be_is_refused(caller: ApiCaller, query: str) -> None:
    assert caller.get(f"/api/files/?{quote(query, safe='=')}").error == (400, "VALIDATION_ERROR")


def test_a_file_is_shown_with_where_it_is_used(caller: ApiCaller, uploaded: str, database: psycopg.Connection) -> None:
    caller.upload(CONTENT, "other.txt")
    continuation_id = link(database, uploaded, title="what it is about")
    shown = caller.get(f"/api/files/{uploaded}/").json
    assert (shown["names"], shown["used_by"]) == (["digits.txt", "other.txt"], 1)
    assert [(used["continuation_id"], used["title"], used["in_bin"]) for used in shown["conversations"]] == [
        (continuation_id, "what it is about", False)
    ]
    assert caller.get(f"/api/files/{uploaded}/content").status == 200
    assert caller.get(f"/api/files/{uploaded}/").json["access_count"] == 1


def test_a_deleted_file_is_gone_and_its_bytes_are_noted(
    caller: ApiCaller, uploaded: str, database: psycopg.Connection
) -> None:
    [(path,)] = database.execute("SELECT storage_path FROM files WHERE id = %s", (uploaded,)).fetchall()
    answer = caller.delete(f"/api/files/{uploaded}/")
    assert (answer.status, answer.body) == (204, b"")
    assert caller.get(f"/api/files/{uploaded}/").error == (404, "NOT_FOUND")
    assert caller.delete(f"/api/files/{uploaded}/").error == (404, "NOT_FOUND")
    assert database.execute(
        "SELECT due_at <= now() FROM file_removals WHERE storage_path = %s", (path,)
    ).fetchall() == [(True,)]


def test_a_file_in_use_is_deleted_only_when_the_caller_says_so(
    caller: ApiCaller, uploaded: str, database: psycopg.Connection
) -> None:
    for _ in range(2):
        link(database, uploaded)
    refused = caller.delete(f"/api/files/{uploaded}/")
    assert (refused.status, refused.json["error"]["details"]) == (409, {"conversations": 2})
    assert caller.get(f"/api/files/{uploaded}/").json["used_by"] == 2
    assert caller.delete(f"/api/files/{uploaded}/?unlink=true").status == 204
    assert database.execute("SELECT count(*) FROM conversation_files WHERE file_id = %s", (uploaded,)).fetchone() == (
        0,
    )


def test_files_of_another_workspace_are_as_if_they_were_not(
    caller: ApiCaller, stranger: ApiCaller, uploaded: str
) -> None:
    def answers(who: ApiCaller, file_id: str) -> Iterator[Answer]:
        yield who.get(f"/api/files/{file_id}/")
        yield who.get(f"/api/files/{file_id}/content")
        yield who.get(f"/api/files/{file_id}/content", Range="bytes=0-1")
        yield who.get(f"/api/files/{file_id}/content", **{"If-None-Match": "*"})
        yield who.delete(f"/api/files/{file_id}/")
        yield who.delete(f"/api/files/{file_id}/?unlink=true")

    foreign, unknown = list(answers(stranger, uploaded)), list(answers(stranger, str(uuid.uuid4())))
    assert [(answer.status, answer.body) for answer in foreign] == [(answer.status, answer.body) for answer in unknown]
    assert {answer.status for answer in foreign} == {404}
    assert stranger.ask("HEAD", f"/api/files/{uploaded}/content").status == 404
    assert stranger.get("/api/files/").json["files"] == []
    own = stranger.upload(CONTENT, "digits.txt")
    assert (own.json["duplicate"], own.json["id"] == uploaded) == (False, False)
    assert caller.get(f"/api/files/{uploaded}/").status == 200


def test_clients_of_one_workspace_share_their_files(hub: RunningHub, make_client: MakeClient) -> None:
    name, token = make_client()
    _, other = make_client(workspace=name)
    file_id = ApiCaller(hub.http_url, token).upload(CONTENT).json["id"]
    assert ApiCaller(hub.http_url, other).get(f"/api/files/{file_id}/content").body == CONTENT


def test_files_need_a_token_and_its_scope(hub: RunningHub, make_client: MakeClient, uploaded: str) -> None:
    paths = [("GET", "/api/files/"), ("GET", f"/api/files/{uploaded}/"), ("GET", f"/api/files/{uploaded}/content")]
    paths += [("DELETE", f"/api/files/{uploaded}/"), ("POST", "/api/files/")]
    _, tools_only = make_client(scopes=("tools",))
    for token, status in ((None, 401), ("exai_wrong", 401), (tools_only, 403)):
        caller = ApiCaller(hub.http_url, token)
        assert [caller.ask(method, path).error for method, path in paths] == [(status, "UNAUTHORIZED")] * 5

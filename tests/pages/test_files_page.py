"""Files in the admin, of the real server, as operators meet them."""

import json
import uuid

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from tests.api.caller import ApiCaller
from tests.conftest import MakeClient
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in

_PASSWORD = "correct horse battery staple"
_LIST = "/admin/conversations/storedfile/"


@pytest.fixture(scope="module")
def operator(hub: RunningHub, hub_database_url: str) -> Browser:
    return _signed_in(hub, hub_database_url, "files-operator", superuser=True)


def _signed_in(hub: RunningHub, url: str, name: str, *, superuser: bool) -> Browser:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
            " email, date_joined) VALUES (%s, %s, true, %s, true, '', '', '', now())",
            (name, make_password(_PASSWORD), superuser),
        )
    return sign_in(hub.http_url, name, _PASSWORD)


def _upload(hub: RunningHub, token: str, name: str, content: bytes) -> str:
    answer = ApiCaller(hub.http_url, token).ask(
        "POST", f"/api/files/?name={name}", content, {"Content-Type": "application/octet-stream"}
    )
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["id"])


def _use(database: psycopg.Connection, client: str, file_id: str, title: str) -> None:
    """A conversation of the client that uses the file."""
    database.execute(
        "WITH made AS (INSERT INTO conversations (continuation_id, client_id, workspace, title, model, metadata,"
        " created_at, updated_at) SELECT %s, id, workspace, %s, '', '{}', now(), now() FROM clients WHERE name = %s"
        " RETURNING id) INSERT INTO conversation_files (conversation_id, file_id) SELECT id, %s FROM made",
        (uuid.uuid4(), title, client, file_id),
    )


@pytest.fixture
def file_id(hub: RunningHub, make_client: MakeClient, database: psycopg.Connection) -> str:
    """A text that a conversation uses and a vendor has a copy of."""
    client, token = make_client()
    file_id = _upload(hub, token, "notes.md", f"# Notes {uuid.uuid4()}".encode())
    _use(database, client, file_id, "About <the> notes")
    database.execute(
        'UPDATE files SET provider_file_ids = \'{"kimi": "file-7"}\', metadata = jsonb_build_object('
        "'provider_expiry', jsonb_build_object('kimi', now() + interval '1 day')) WHERE id = %s",
        (file_id,),
    )
    return file_id


def test_the_list_tells_what_people_decide_by(operator: Browser, file_id: str) -> None:
    status, page, _ = operator.get(f"{_LIST}?q={file_id}")
    assert status == 200
    row = page[page.index("notes.md") :]
    for words in ("text/markdown", "1 conversation", "kimi"):
        assert words in row


def test_the_page_of_a_file_tells_where_it_is_used_and_who_has_a_copy(operator: Browser, file_id: str) -> None:
    status, page, _ = operator.get(f"{_LIST}{file_id}/change/")
    assert status == 200
    for words in ("notes.md", "About &lt;the&gt; notes", "file-7", "used until", "Not read yet"):
        assert words in page
    assert "About <the>" not in page


def test_a_download_is_never_shown_as_a_page(hub: RunningHub, operator: Browser, make_client: MakeClient) -> None:
    file_id = _upload(hub, make_client()[1], "page.html", b"<script>alert(1)</script>")
    status, body, headers = operator.get(f"{_LIST}{file_id}/download")
    assert (status, body) == (200, "<script>alert(1)</script>")
    assert headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_deleting_says_what_goes_and_notes_bytes_and_copies(
    operator: Browser, file_id: str, database: psycopg.Connection
) -> None:
    path = f"{_LIST}{file_id}/delete/"
    _, page, _ = operator.get(path)
    for words in ("notes.md", "laces in conversations", "opies at vendors"):
        assert words in page
    status, page, _ = operator.post(path, page, [("post", "yes")])
    assert status == 200
    assert database.execute("SELECT 1 FROM files WHERE id = %s", (file_id,)).fetchone() is None
    noted = database.execute(
        "SELECT provider_file_ids FROM file_removals WHERE provider_file_ids ->> 'kimi' = 'file-7'"
    ).fetchall()
    assert noted


def test_who_may_not_see_files_gets_none(hub: RunningHub, hub_database_url: str, file_id: str) -> None:
    nobody = _signed_in(hub, hub_database_url, "files-nobody", superuser=False)
    for path in (_LIST, f"{_LIST}{file_id}/change/", f"{_LIST}{file_id}/download", f"{_LIST}{file_id}/delete/"):
        assert nobody.get(path)[0] == 403

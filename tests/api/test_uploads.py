"""Uploads that are too large, broken, hostile, or end too early, at the real server."""

import asyncio
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from exai.api import uploads
from exai.api.answers import status_of
from tests.api.caller import ApiCaller, form
from tests.api.sockets import END, FORM, part, raw_post
from tests.conftest import MakeClient
from tests.hub import RunningHub, manage

_PATIENCE_S = 20.0
LARGEST = 3_000_000


@pytest.fixture(scope="module")
def small_hub(hub_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub whose largest file is small, with a folder of its own."""
    folder = tmp_path_factory.mktemp("data")
    more = {"EXAI_MAX_FILE_BYTES": str(LARGEST), "EXAI_DATA_DIR": str(folder)}
    with RunningHub({**hub_environment, **more}) as hub:
        yield hub


@pytest.fixture
def staging(small_hub: RunningHub) -> Path:
    return Path(psutil.Process(small_hub.pid).environ()["EXAI_DATA_DIR"]) / "files" / ".incoming"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


def is_empty(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def send_form(hub: RunningHub, token: str, body: bytes, *headers: str) -> tuple[int, str]:
    """The status and the code or, of a stored file, its name."""
    with raw_post(hub, token, *(headers or (FORM,)), f"Content-Length: {len(body)}") as request:
        request.send(body)
        answer = request.answer()
    return answer.error if "error" in answer.json else (answer.status, answer.json["name"])


def test_a_file_of_the_largest_size_is_taken_and_one_byte_more_is_not(small_hub: RunningHub, token: str) -> None:
    caller = ApiCaller(small_hub.http_url, token)
    assert caller.upload(b"x" * LARGEST).status == 201
    assert caller.upload(b"x" * (LARGEST + 1)).error == (413, "CONTENT_TOO_LARGE")
    assert caller.ask("POST", "/api/files/?name=a", b"y" * (LARGEST + 1)).error == (413, "CONTENT_TOO_LARGE")


def test_a_file_that_is_announced_too_large_is_refused_before_it_is_sent(small_hub: RunningHub, token: str) -> None:
    with raw_post(small_hub, token, FORM, "Content-Length: 99999999", "Expect: 100-continue") as request:
        answer = request.answer()  # and no 100 Continue before
        assert answer.error == (413, "CONTENT_TOO_LARGE")
        assert answer.json["error"]["details"] == {"limit": LARGEST}
        assert request.is_closed()


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(small_hub: RunningHub, token: str) -> None:
    body = part("a.txt") + END
    with raw_post(small_hub, token, FORM, f"Content-Length: {len(body)}", "Expect: 100-continue") as request:
        assert request.socket.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        request.send(body)
        assert request.answer().status in (200, 201)


def test_an_endless_body_is_refused_while_it_comes(small_hub: RunningHub, token: str, staging: Path) -> None:
    with raw_post(small_hub, token, "Transfer-Encoding: chunked", path="/api/files/?name=a") as request:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        request.send(*[chunk] * (LARGEST // 0x10000 + 2))
        assert request.answer().error == (413, "CONTENT_TOO_LARGE")
        assert request.is_closed()
    until(lambda: is_empty(staging))


def test_a_stranger_is_answered_without_its_body_being_read(small_hub: RunningHub, staging: Path) -> None:
    for token in (None, "exai_unknown"):
        with raw_post(small_hub, token, FORM, "Content-Length: 1000000") as request:
            answer = request.answer()  # though not a byte of it was sent
            assert answer.error == (401, "UNAUTHORIZED")
            assert answer.headers["connection"] == "close"
            assert request.is_closed()
    assert is_empty(staging)


def test_a_client_that_goes_away_leaves_nothing(
    small_hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, staging: Path
) -> None:
    workspace, token = make_client()
    with raw_post(small_hub, token, FORM, "Content-Length: 2500000") as request:
        request.send(part("a.txt", b"x" * 2_000_000)[:-2])
        until(lambda: not is_empty(staging))
    until(lambda: is_empty(staging))
    assert database.execute("SELECT count(*) FROM files WHERE workspace = %s", (workspace,)).fetchone() == (0,)
    assert "Traceback" not in small_hub.log_text()


def test_the_connection_is_kept_for_the_next_upload(small_hub: RunningHub, token: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", small_hub.port, timeout=_PATIENCE_S)
    for number in range(3):
        body, content_type = form(("a", f"{number}".encode()))
        # What comes after the last boundary is no part, and not the next request either.
        connection.request(
            "POST",
            "/api/files/",
            body + b"\r\nepilogue",
            {"Content-Type": content_type, "Authorization": f"Bearer {token}"},
        )
        response = connection.getresponse()
        assert (response.status, response.headers.get("connection")) == (201, None)
        response.read()
    connection.close()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(part("a") + END, ("Content-Type: multipart/form-data",), id="no boundary"),
        pytest.param(
            part("a") + END, (f"Content-Type: multipart/form-data; boundary={'b' * 5000}",), id="long boundary"
        ),
        pytest.param(part("a") + END, ("Content-Type: multipart/form-data; boundary=other",), id="another boundary"),
        pytest.param(b"", (FORM,), id="nothing"),
        pytest.param(END, (FORM,), id="no part"),
        pytest.param(b"garbage" * 10_000, (FORM,), id="garbage"),
        pytest.param(part("a"), (FORM,), id="no last boundary"),
        pytest.param(part("a", field=b"other") + END, (FORM,), id="no field of that name"),
        pytest.param(part("a", field=b"f" * 40_000) + END, (FORM,), id="a huge field name"),
        pytest.param(b"--b\r\n" + b"X-Header: x\r\n" * 100_000, (FORM,), id="endless headers"),
        pytest.param(b"--b\r\nX-Header: " + b"x" * 1_000_000, (FORM,), id="an endless header"),
        pytest.param(b"--b\r\n" + b"x" * 1_000_000, (FORM,), id="an endless header name"),
        pytest.param(b"--b\r\n\x00: x\r\n\r\nx\r\n" + END, (FORM,), id="a NUL in a header name"),
        pytest.param(part("a\rb") + END, (FORM,), id="a CR in a header"),
        pytest.param(part("a", b"", field=b"x") * 5000 + END, (FORM,), id="endless parts"),
        pytest.param(b"\r\n" * 500_000, (FORM,), id="endless lines before the first boundary"),
    ],
)
def test_a_body_that_is_no_form_is_refused_and_leaves_nothing(
    small_hub: RunningHub,
    make_client: MakeClient,
    database: psycopg.Connection,
    staging: Path,
    body: bytes,
    headers: tuple[str, ...],
) -> None:
    workspace, token = make_client()
    assert send_form(small_hub, token, body, *headers) == (400, "INVALID_REQUEST")
    assert is_empty(staging)
    assert database.execute("SELECT count(*) FROM files WHERE workspace = %s", (workspace,)).fetchone() == (0,)
    assert ApiCaller(small_hub.http_url, token).upload(b"good").status == 201


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (b"a\x00b.txt", "ab.txt"),
        (b"n" * 4000 + b".txt", "n" * 251 + ".txt"),
        ("é".encode() * 4000, "é" * 127),
        (b"..\\..\\boot.ini", "boot.ini"),
        (b"%2e%2e%2fetc", "%2e%2e%2fetc"),
        (b"\xff\xfe.bin", "\ufffd\ufffd.bin"),
        (b"", "file"),
    ],
)
def test_a_hostile_name_is_made_harmless(small_hub: RunningHub, token: str, name: bytes, kept: str) -> None:
    assert send_form(small_hub, token, part(name) + END) == (201, kept)


def test_an_extended_name_is_read(small_hub: RunningHub, token: str) -> None:
    body = part("x").replace(b'filename="x"', b"filename*=UTF-8''%E2%82%AC%20rates.txt") + END
    assert send_form(small_hub, token, body) == (201, "€ rates.txt")


def test_other_fields_are_passed_over(small_hub: RunningHub, token: str) -> None:
    body = part("x", b"z" * 20_000, field=b"other") + part("kept.txt") + part("y", field=b"more") + END
    assert send_form(small_hub, token, body) == (201, "kept.txt")


def test_a_boundary_that_almost_comes_is_content(small_hub: RunningHub, token: str) -> None:
    content = b"\r\n--" * 30_000 + b"\r\n--a\r\n-b--\r\n\r\n--"
    body = part("a.bin", content) + END
    with raw_post(small_hub, token, FORM, f"Content-Length: {len(body)}") as request:
        for start in range(0, len(body), 7777):
            request.send(body[start : start + 7777])
        stored = request.answer().json
    assert stored["size"] == len(content)
    caller = ApiCaller(small_hub.http_url, token)
    assert caller.get(f"/api/files/{stored['id']}/content").body == content


def test_a_body_of_single_bytes_is_taken(small_hub: RunningHub, token: str) -> None:
    body = part("slow.txt", b"slowly") + END
    with raw_post(small_hub, token, FORM, "Transfer-Encoding: chunked") as request:
        request.send(*(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body), b"0\r\n\r\n")
        assert request.answer().json["size"] == len(b"slowly")


@pytest.mark.parametrize(
    "lengths",
    [
        ("Content-Length: 10", "Content-Length: 20"),
        ("Content-Length: 10", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(
    small_hub: RunningHub, token: str, lengths: tuple[str, ...]
) -> None:
    with raw_post(small_hub, token, *lengths, path="/api/files/?name=a") as request:
        assert request.socket.recv(1024).startswith(b"HTTP/1.1 400 ")
        assert request.is_closed()


def test_a_body_that_is_shorter_than_announced_stores_nothing(
    small_hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, staging: Path
) -> None:
    workspace, token = make_client()
    with raw_post(small_hub, token, "Content-Length: 100", path="/api/files/?name=a") as request:
        request.send(b"x" * 99)
        until(lambda: not is_empty(staging))
    until(lambda: is_empty(staging))
    assert database.execute("SELECT count(*) FROM files WHERE workspace = %s", (workspace,)).fetchone() == (0,)


def test_when_the_second_of_two_files_fails_the_first_is_named(small_hub: RunningHub, token: str) -> None:
    caller = ApiCaller(small_hub.http_url, token)
    body, content_type = form(("a.txt", b"small"), ("b.txt", b"x" * (LARGEST + 1)))
    answer = caller.ask("POST", "/api/files/", body, {"Content-Type": content_type})
    assert answer.error == (413, "CONTENT_TOO_LARGE")
    [stored] = answer.json["error"]["details"]["stored"]
    assert caller.get(f"/api/files/{stored}/content").body == b"small"


@pytest.mark.parametrize("announced", [True, False])
def test_a_form_of_files_that_are_too_large_only_together_is_not_called_a_large_file(
    small_hub: RunningHub, token: str, announced: bool
) -> None:
    caller = ApiCaller(small_hub.http_url, token)
    body, content_type = form(*((f"{number}.txt", f"{number}".encode() * (LARGEST // 2 + 50_000)) for number in "ab"))
    answer = caller.ask("POST", "/api/files/", body if announced else iter([body]), {"Content-Type": content_type})
    assert answer.error == (413, "CONTENT_TOO_LARGE")
    assert "the files of the form are larger together" in answer.json["error"]["message"]


async def test_a_client_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_LONGEST_SILENCE_S", 0.05)

    async def silence() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(uploads.UploadStalled) as stalled:
        await anext(uploads._Body(silence, most_bytes=10).pieces())
    assert status_of(stalled.value) == 408


def test_a_quota_is_told_before_and_after_the_body(hub_environment: dict[str, str], make_client: MakeClient) -> None:
    _, token = make_client()
    with RunningHub({**hub_environment, "EXAI_WORKSPACE_MAX_FILES": "2", "EXAI_WORKSPACE_MAX_MB": "1"}) as hub:
        caller = ApiCaller(hub.http_url, token)
        assert caller.upload(b"x" * 900_000).status == 201
        with raw_post(hub, token, FORM, "Content-Length: 990000") as request:
            refused = request.answer()
        assert refused.error == (507, "OVER_CAPACITY")
        assert refused.json["error"]["details"]["reason"] == "bytes_of_workspace"
        chunked = caller.ask("POST", "/api/files/?name=a", iter([b"y" * 900_000]))
        assert chunked.json["error"]["details"]["reason"] == "bytes_of_workspace"
        second = caller.upload(b"second")
        assert second.status == 201
        full = caller.upload(b"third")
        assert (full.status, full.json["error"]["details"]["reason"]) == (507, "files_of_workspace")
        # What is there already takes no room, and can still be named by its path or its content.
        for content in (b"x" * 900_000, b"second"):
            again = caller.upload(content)
            assert (again.status, again.json["duplicate"]) == (200, True)
        caller.delete(f"/api/files/{second.json['id']}/")
        assert caller.upload(b"third").status == 201


def test_one_workspace_does_not_take_all_places_of_the_others(
    hub_environment: dict[str, str], make_client: MakeClient, token: str, tmp_path: Path
) -> None:
    _, greedy = make_client()
    body = part("a.txt") + END
    staging = tmp_path / "files" / ".incoming"
    with (
        RunningHub({**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}) as hub,
        ExitStack() as stack,
    ):
        for _ in range(16):
            slow = stack.enter_context(raw_post(hub, greedy, FORM, f"Content-Length: {len(body)}"))
            slow.send(body[:-10])
        until(lambda: len(list(staging.glob("*"))) == 16)
        refused = ApiCaller(hub.http_url, greedy).upload(b"one more")
        assert (refused.error, refused.json["error"]["details"]["reason"]) == ((429, "OVER_CAPACITY"), "uploads")
        assert ApiCaller(hub.http_url, token).upload(b"another's").status == 201
        slow.send(body[-10:])
        assert slow.answer().status == 201
        assert ApiCaller(hub.http_url, greedy).upload(b"one more").status == 201


def test_a_large_upload_takes_little_memory(hub_environment: dict[str, str], token: str) -> None:
    size = 100_000_000
    block = os.urandom(1_000_000)
    with RunningHub(hub_environment) as hub:
        assert ApiCaller(hub.http_url, token).upload(b"first").status in (200, 201)
        process = psutil.Process(hub.pid)
        before = most = process.memory_info().rss
        start = part("large.bin", b"")[:-2]
        length = len(start) + size + len(b"\r\n" + END)
        with raw_post(hub, token, FORM, f"Content-Length: {length}") as request:
            request.send(start)
            for _ in range(size // len(block)):
                request.send(block)
                most = max(most, process.memory_info().rss)
            request.send(b"\r\n" + END)
            stored = request.answer()
            most = max(most, process.memory_info().rss)
        assert (stored.status, stored.json["size"]) == (201, size)
        assert most - before < 20_000_000


def test_an_upload_that_is_under_way_ends_before_the_hub_does_and_new_ones_are_refused(
    hub_environment: dict[str, str], token: str, tmp_path: Path
) -> None:
    body = part("a.txt", os.urandom(1_000_000)) + END
    with (
        RunningHub({**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}) as hub,
        raw_post(hub, token, FORM, f"Content-Length: {len(body)}") as request,
    ):
        request.send(body[:500_000])
        until(lambda: not is_empty(tmp_path / "files" / ".incoming"))
        hub.begin_terminate()
        until(lambda: "draining" in hub.log_text())
        with raw_post(hub, token, FORM, "Content-Length: 10") as late:
            assert late.answer().error == (503, "SERVICE_UNAVAILABLE")
        request.send(body[500_000:])
        assert request.answer().status == 201
        assert hub.wait() == 0


def test_an_upload_that_is_killed_leaves_no_row_and_its_rest_goes_with_the_next_cleanup(
    hub_environment: dict[str, str], make_client: MakeClient, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace, token = make_client()
    environment = {**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}
    staging = tmp_path / "files" / ".incoming"
    with (
        RunningHub(environment) as hub,
        RunningHub(environment) as other,
        raw_post(hub, token, FORM, "Content-Length: 2500000") as killed,
        raw_post(other, token, FORM, f"Content-Length: {len(part('b', b'y' * 10) + END)}") as living,
    ):
        killed.send(part("a.txt", b"x" * 2_000_000)[:-2])
        until(lambda: not is_empty(staging))
        living.send(part("b", b"y" * 10)[:-2])
        until(lambda: len(list(staging.iterdir())) == 2)
        hub.kill()
        cleaned = json.loads(manage(environment, "cleanup_files", "--grace-hours", "0", "--json"))
        assert cleaned["leftovers_removed"] == 1  # and not the one that is still coming
        living.send(b"\r\n" + END)
        assert living.answer().status == 201
    assert is_empty(staging)
    assert database.execute("SELECT original_name FROM files WHERE workspace = %s", (workspace,)).fetchall() == [("b",)]


def test_an_upload_that_is_killed_between_its_bytes_and_its_row_leaves_neither(
    hub_environment: dict[str, str], make_client: MakeClient, database: psycopg.Connection, tmp_path: Path
) -> None:
    workspace, token = make_client()
    environment = {**hub_environment, "EXAI_DATA_DIR": str(tmp_path)}
    # Held by the test, the lock of a workspace's uploads stops the statement that writes the row.
    database.execute("SELECT pg_advisory_lock(1163411785, hashtext(%s))", (workspace,))
    body = part("a.txt") + END
    with RunningHub(environment) as hub, raw_post(hub, token, FORM, f"Content-Length: {len(body)}") as request:
        request.send(body)
        until(lambda: any((tmp_path / "files").glob(f"{workspace}/*/*")))
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1163411785 AND NOT granted"
        until(lambda: bool(database.execute(waiting).fetchall()))
        hub.kill()
        # The server would finish what it was asked before it noticed; then the row would be there, and its bytes.
        database.execute(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w")
    database.execute("SELECT pg_advisory_unlock_all()")
    assert database.execute("SELECT count(*) FROM files WHERE workspace = %s", (workspace,)).fetchone() == (0,)
    noted = database.execute(
        "UPDATE file_removals SET due_at = now() WHERE storage_path LIKE %s RETURNING 1", (workspace + "/%",)
    ).fetchall()
    assert len(noted) == 1
    cleaned = json.loads(manage(environment, "cleanup_files", "--grace-hours", "0", "--json"))
    assert cleaned["blobs_failed"] == 0
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []

"""The connection monitor in the admin, as operators meet it."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from django.contrib.auth.hashers import make_password
from redis import Redis

from exai.calls import keys
from exai.calls.connection_monitor import read_connections
from exai.calls.connection_registry import ConnectionFigures, published_by
from exai.connections_admin import age
from tests.conftest import MakeClient
from tests.gateway.wire import PATIENCE_S, wire
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in

_PASSWORD = "correct horse battery staple"
_PAGE = "/admin/connections/"
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def other_hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    """A second web process beside the first."""
    with RunningHub(hub_environment) as other:
        yield other


_MakePerson = Callable[..., str]


@pytest.fixture(scope="module")
def make_person(hub_database_url: str) -> _MakePerson:
    """Makes somebody who can sign in with the password of this file; gives the name."""
    password = make_password(_PASSWORD)
    made: list[str] = []

    def make(*permissions: str, staff: bool = True, superuser: bool = False) -> str:
        made.append(f"person-{len(made)}")
        with psycopg.connect(hub_database_url, autocommit=True) as database:
            database.execute(
                "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
                " email, date_joined) VALUES (%s, %s, %s, %s, true, '', '', '', now())",
                (made[-1], password, staff, superuser),
            )
            database.execute(
                "INSERT INTO auth_user_user_permissions (user_id, permission_id)"
                " SELECT auth_user.id, auth_permission.id FROM auth_user, auth_permission"
                " WHERE username = %s AND codename = ANY(%s)",
                (made[-1], list(permissions)),
            )
        return made[-1]

    return make


@pytest.fixture(scope="module")
def operator(hub: RunningHub, make_person: _MakePerson) -> Browser:
    return sign_in(hub.http_url, make_person(superuser=True), _PASSWORD)


@pytest.fixture
def redis_url(hub_environment: dict[str, str]) -> str:
    return hub_environment["REDIS_URL"]


def _figures(**given: Any) -> ConnectionFigures:
    nothing = dict.fromkeys(("client_id", "frames_in", "frames_out", "bytes_in", "bytes_out", "calls"), 0)
    unnamed = dict.fromkeys(("client", "workspace", "session", "address"), "")
    return ConnectionFigures(**{**nothing, **unnamed, "since": datetime.now(UTC), **given})


@contextmanager
def _published(redis_url: str, *connections: ConnectionFigures) -> Iterator[None]:
    """As if one more web process had these connections."""
    process = connections[0].process
    with Redis.from_url(redis_url) as redis:
        redis.zadd(f"{keys.PREFIX}processes", {process: (time.time() + 60) * 1000})
        redis.set(published_by(process), msgspec.json.encode(connections), ex=60)
        try:
            yield
        finally:
            redis.zrem(f"{keys.PREFIX}processes", process)
            redis.delete(published_by(process))


async def _listed(redis_url: str, session: str, *, since: datetime = _LONG_AGO) -> ConnectionFigures:
    """The connection of that session, opened since then, once its process has published it."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        for connection in read_connections(redis_url).connections:
            if connection.session == session and connection.since >= since:
                return connection
        await asyncio.sleep(0.02)
    raise AssertionError(f"{session} was never published")


async def test_connections_of_every_process_stand_on_the_page_of_any(
    hub: RunningHub, other_hub: RunningHub, operator: Browser, make_client: MakeClient, redis_url: str
) -> None:
    name, token = make_client(workspace="the-workspace")
    async with wire(hub.ws_url) as here, wire(other_hub.ws_url) as there:
        await here.hello(token, "session-here")
        await there.hello(token, "session-there")
        connections = [await _listed(redis_url, session) for session in ("session-here", "session-there")]
        status, page, _ = operator.get(f"{_PAGE}?q={name}")
    assert status == 200
    for connection in connections:
        assert connection.session in page
        assert connection.process in page
        assert f"/admin/connections/{connection.id}/disconnect/" in page
    assert page.index("session-there") < page.index("session-here")
    assert f'href="/admin/exai/apiclient/{connections[0].client_id}/change/"' in page
    assert "the-workspace" in page
    assert "127.0.0.1" in page
    assert token not in page


def test_the_page_is_linked_from_the_landing_page_and_every_admin_page(operator: Browser) -> None:
    for path in ("/", "/admin/"):
        assert f'href="{_PAGE}"' in operator.get(path)[1]


async def test_an_operator_disconnects_one_connection_of_another_process_and_no_other(
    hub: RunningHub,
    other_hub: RunningHub,
    operator: Browser,
    make_client: MakeClient,
    redis_url: str,
    database: psycopg.Connection,
) -> None:
    name, token = make_client()
    async with wire(hub.ws_url) as here, wire(other_hub.ws_url) as ended, wire(other_hub.ws_url) as beside:
        for connection, session in ((here, "stays-here"), (ended, "to-be-ended"), (beside, "stays-beside")):
            await connection.hello(token, session)
        listed = await _listed(redis_url, "to-be-ended")
        path = f"{_PAGE}{listed.id}/disconnect/"
        status, page, _ = operator.get(path)
        assert status == 200
        assert f"Disconnect {name}, session to-be-ended?" in page
        assert await _listed(redis_url, "to-be-ended")  # asking is not doing
        status, page, _ = operator.post(path, page, [])
        assert status == 200
        assert f"Disconnected {name}, session to-be-ended, from 127.0.0.1" in page
        assert await ended.closed() == (1008, "disconnected by an operator")
        for connection in (here, beside):
            await connection.send({"op": "ping", "request_id": "1"})
            assert (await connection.receive())["op"] == "pong"
    logged = database.execute(
        "SELECT username, object_repr, change_message FROM django_admin_log JOIN auth_user ON user_id = auth_user.id"
        " WHERE object_id = %s",
        (str(listed.client_id),),
    ).fetchall()
    assert [(client, f"(connection {listed.id})" in what) for _, client, what in logged] == [(name, True)]
    assert "to-be-ended" in operator.get(f"/admin/exai/apiclient/{listed.client_id}/history/")[1]


async def test_a_connection_before_its_hello_is_shown_and_its_end_is_written_down(
    hub: RunningHub, operator: Browser, redis_url: str, database: psycopg.Connection
) -> None:
    before = datetime.now(UTC)
    async with wire(hub.ws_url) as connection:
        listed = await _listed(redis_url, "", since=before)
        assert "not signed in yet" in operator.get(f"{_PAGE}?q=127.0.0.1")[1]
        path = f"{_PAGE}{listed.id}/disconnect/"
        operator.post(path, operator.get(path)[1], [])
        assert (await connection.closed())[0] == 1008
    logged = database.execute(
        "SELECT change_message FROM django_admin_log WHERE object_repr = %s", (f"Connection {listed.id}",)
    ).fetchall()
    assert len(logged) == 1


def test_what_is_gone_already_is_said_to_be_gone(operator: Browser) -> None:
    status, page, _ = operator.get(f"{_PAGE}0123456789abcdef/disconnect/")
    assert status == 200
    assert "That connection is gone already." in page


def test_a_process_that_does_not_hear_is_named_and_nothing_is_written_down(
    operator: Browser, redis_url: str, database: psycopg.Connection
) -> None:
    with _published(redis_url, _figures(id="deaf-0", process="deaf")):
        path = f"{_PAGE}deaf-0/disconnect/"
        _, page, _ = operator.post(path, operator.get(path)[1], [])
    assert "the web process deaf did not hear it" in page
    assert database.execute("SELECT 1 FROM django_admin_log WHERE object_repr = 'Connection deaf-0'").fetchall() == []


async def test_who_may_not_see_or_change_clients_neither_sees_nor_ends_connections(
    hub: RunningHub, make_person: _MakePerson, token: str, redis_url: str
) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.hello(token, "guarded-one")
        path = f"{_PAGE}{(await _listed(redis_url, 'guarded-one')).id}/disconnect/"
        stranger = Browser(hub.http_url)
        not_staff = sign_in(hub.http_url, make_person("view_apiclient", "change_apiclient", staff=False), _PASSWORD)
        for browser in (stranger, not_staff):
            for page in (browser.get(_PAGE)[1], browser.get(path)[1]):
                assert 'name="password"' in page
                assert "guarded-one" not in page
        without = sign_in(hub.http_url, make_person("view_toolcall"), _PASSWORD)
        assert [without.get(path)[0] for path in (_PAGE, path)] == [403, 403]
        index = without.get("/admin/")[1]
        assert "/admin/conversations/toolcall/" in index
        assert f'href="{_PAGE}"' not in index
        viewer = sign_in(hub.http_url, make_person("view_apiclient"), _PASSWORD)
        status, page, _ = viewer.get(_PAGE)
        assert (status, "guarded-one" in page, "/disconnect/" in page) == (200, True, False)
        assert viewer.get(path)[0] == 403
        # A form of any other page: only the permission is in the way.
        for refused in (without, viewer):
            assert refused.post(path, refused.get("/admin/")[1], [])[0] == 403
        await connection.send({"op": "ping", "request_id": "1"})
        assert (await connection.receive())["op"] == "pong"


async def test_a_forged_form_is_refused(hub: RunningHub, operator: Browser, token: str, redis_url: str) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.hello(token, "not-forged")
        path = f"{_PAGE}{(await _listed(redis_url, 'not-forged')).id}/disconnect/"
        forged = '<input name="csrfmiddlewaretoken" value="00000000000000000000000000000000">'
        assert operator.post(path, forged, [])[0] == 403
        await connection.send({"op": "ping", "request_id": "1"})
        assert (await connection.receive())["op"] == "pong"


def test_hostile_names_stay_text_on_every_page(operator: Browser, redis_url: str) -> None:
    hostile = '"><script>alert(1)</script>{{ 7|add:7 }}'
    names = dict.fromkeys(("client", "workspace", "session", "address"), hostile)
    with _published(redis_url, _figures(**names, id="hostile-0", process="hostile", client_id=1)):
        pages = [operator.get(f"{_PAGE}?q=hostile")[1], operator.get(f"{_PAGE}hostile-0/disconnect/")[1]]
        pages.append(operator.post(f"{_PAGE}hostile-0/disconnect/", pages[1], [])[1])
        pages.append(operator.get(f"{_PAGE}?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")[1])
    for page in pages:
        assert "alert(1)" in page
        assert "<script>alert(1)" not in page
        assert "14" not in re.findall(r"script&gt;(\w+)", page)


def test_the_page_reloads_itself_until_it_is_paused(operator: Browser) -> None:
    live, paused = (operator.get(f"{_PAGE}?q=nobody-has-this-name{more}")[1] for more in ("", "&refresh=off"))
    assert '<meta http-equiv="refresh" content="5">' in live
    assert 'http-equiv="refresh"' not in paused
    assert 'href="/admin/connections/?q=nobody-has-this-name&amp;refresh=off"' in live
    assert 'href="/admin/connections/?q=nobody-has-this-name"' in paused


def test_more_connections_than_a_page_holds_are_counted_and_found_by_a_search(
    operator: Browser, redis_url: str
) -> None:
    many = [_figures(id=f"crowd-{number}", process="crowd", client=f"many-{number}") for number in range(300)]
    with _published(redis_url, *many):
        page = operator.get(f"{_PAGE}?q=crowd")[1]
        assert page.count("/disconnect/") == 200
        assert "The newest 200 of 300 are shown" in page
        assert operator.get(f"{_PAGE}?q=MANY-299")[1].count("/disconnect/") == 1


def test_an_empty_hub_says_how_to_see_a_connection(hub_environment: dict[str, str], make_person: _MakePerson) -> None:
    unused = re.sub(r"db=\d+", "db=15", hub_environment["REDIS_URL"])
    with RunningHub({**hub_environment, "REDIS_URL": unused}) as hub:
        status, page, _ = sign_in(hub.http_url, make_person(superuser=True), _PASSWORD).get(_PAGE)
    assert status == 200
    assert "Nobody is connected" in page
    assert "manage.py call chat" in page


def test_without_redis_the_page_says_what_that_means(hub_environment: dict[str, str], make_person: _MakePerson) -> None:
    away = {**hub_environment, "REDIS_URL": "unix:///nonexistent/valkey.sock"}
    with RunningHub(away) as hub:
        operator = sign_in(hub.http_url, make_person(superuser=True), _PASSWORD)
        status, page, _ = operator.get(_PAGE)
        assert status == 503
        assert "Redis does not answer" in page
        assert "Clients stay connected" in page
        assert "nonexistent" not in page
        _, page, _ = operator.get(f"{_PAGE}0123456789abcdef/disconnect/")
        assert "Not disconnected: Redis does not answer" in page


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (0, "0 s"), (42, "42 s"), (303, "5 min 3 s"), (3600, "1 h 0 min"), (187_200, "2 d 4 h")],
)
def test_an_age_is_said_in_its_two_largest_units(seconds: int, said: str) -> None:
    now = datetime.now(UTC)
    assert age(now, now - timedelta(seconds=seconds)) == said

"""Health, the landing page and the admin, of the real server, as a browser meets them."""

import json
import os
import re
import urllib.error
import urllib.request

import psycopg
import pytest

from tests.gateway.wire import envelope, wire
from tests.hub import RunningHub, manage
from tests.pages.browser import Browser

_PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def administrator(hub: RunningHub, hub_environment: dict[str, str]) -> Browser:
    environment = {**hub_environment, "DJANGO_SUPERUSER_PASSWORD": _PASSWORD}
    manage(environment, "createsuperuser", "--noinput", "--username", "operator", "--email", "o@example.com")
    browser = Browser(hub.http_url)
    _, page, _ = browser.get("/admin/login/?next=/")
    status, page, _ = browser.post(
        "/admin/login/?next=/", page, [("username", "operator"), ("password", _PASSWORD), ("next", "/")]
    )
    assert status == 200
    assert "signed in as operator" in page
    return browser


def test_live_and_ready_answer(hub: RunningHub) -> None:
    browser = Browser(hub.http_url)
    assert browser.get("/health/live")[0] == 200
    status, body, _ = browser.get("/health/ready")
    assert (status, json.loads(body)) == (200, {"status": "ready", "missing": [], "degraded": []})


def test_without_redis_the_hub_is_degraded_but_ready(hub_environment: dict[str, str]) -> None:
    with RunningHub({**hub_environment, "REDIS_URL": "unix:///nonexistent/valkey.sock"}) as hub:
        status, body, _ = Browser(hub.http_url).get("/health/ready")
    assert (status, json.loads(body)["status"]) == (200, "degraded")


@pytest.mark.parametrize(
    ("url", "missing"),
    [
        # The database that the tests' own is made beside: nobody migrates it.
        (os.environ["DATABASE_URL"], "migrations: "),
        ("postgresql://nobody@/nothing?host=/nonexistent", "database: does not answer"),
    ],
    ids=["unmigrated", "absent"],
)
def test_a_database_that_is_not_as_it_should_be_is_named(
    hub_environment: dict[str, str], url: str, missing: str
) -> None:
    with RunningHub({**hub_environment, "DATABASE_URL": url}, ready_path="/health/live") as hub:
        status, body, _ = Browser(hub.http_url).get("/health/ready")
    assert status == 503
    assert json.loads(body)["missing"][0].startswith(missing)


def test_a_stranger_is_asked_to_sign_in(hub: RunningHub) -> None:
    for path in ("/", "/admin/"):
        _, page, _ = Browser(hub.http_url).get(path)
        assert 'name="password"' in page
        assert "signed in as" not in page


def test_the_landing_page_has_a_strict_policy_and_its_styles(administrator: Browser) -> None:
    status, page, headers = administrator.get("/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "<script" not in page
    for style in re.findall(r'href="(/static/[^"]+)"', page):
        assert administrator.get(style)[0] == 200
    for link in re.findall(r'<li><a href="([^"]+)"', page):
        assert administrator.get(link)[0] == 200


async def test_the_admin_shows_conversations_calls_and_clients_and_edits_no_history(
    hub: RunningHub, administrator: Browser, token: str, model: str, database: psycopg.Connection
) -> None:
    async with wire(hub.ws_url, token) as connection:
        answer = envelope((await connection.call("chat", {"prompt": "<b>seen</b>", "model": model}))[-1])
    conversation = database.execute(
        "SELECT id FROM conversations WHERE continuation_id = %s",
        (answer["continuation_offer"]["continuation_id"],),
    ).fetchone()
    assert conversation is not None
    status, page, _ = administrator.get("/admin/conversations/conversation/?q=seen")
    assert status == 200
    assert "&lt;b&gt;seen" in page
    assert "<b>seen" not in page
    status, page, _ = administrator.get(f"/admin/conversations/conversation/{conversation[0]}/change/")
    assert status == 200
    assert "You said:" in page
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d A[E]", page), "times are shown to the second, with their zone"
    assert 'name="_save"' not in page
    assert administrator.get("/admin/conversations/conversation/add/")[0] == 403
    status, page, _ = administrator.get(f"/admin/conversations/toolcall/?model={model}&status__exact=succeeded")
    assert status == 200
    assert model in page


def test_the_admin_disables_a_client_and_never_shows_a_token(
    administrator: Browser, make_client: object, database: psycopg.Connection
) -> None:
    name, token = make_client()  # type: ignore[operator]
    row = database.execute("SELECT id FROM clients WHERE name = %s", (name,)).fetchone()
    assert row is not None
    _, page, _ = administrator.get(f"/admin/exai/apiclient/?q={name}")
    assert name in page
    assert token not in page
    assert "create_client" in page
    status, page, _ = administrator.post(
        f"/admin/exai/apiclient/?q={name}", page, [("action", "disable"), ("_selected_action", str(row[0]))]
    )
    assert status == 200
    assert database.execute("SELECT enabled FROM clients WHERE name = %s", (name,)).fetchone() == (False,)
    status, page, _ = administrator.get(f"/admin/exai/apiclient/{row[0]}/change/")
    assert status == 200
    assert token not in page
    assert administrator.get("/admin/exai/apiclient/add/")[0] == 403


def test_an_unknown_host_name_is_refused(hub: RunningHub) -> None:
    request = urllib.request.Request(hub.http_url + "/admin/", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
    with refused.value as error:
        assert error.code == 400

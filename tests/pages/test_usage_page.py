"""Usage and budgets in the admin, of the real server, as operators meet them."""

import csv
import html
import io
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.hashers import make_password
from redis import Redis

from tests.conftest import MakeClient
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in

_PASSWORD = "correct horse battery staple"
_PAGE = "/admin/usage/"
Record = Callable[..., None]


@pytest.fixture(scope="module")
def operator(hub: RunningHub, hub_database_url: str) -> Browser:
    return _signed_in(hub, hub_database_url, "usage-operator", superuser=True)


def _signed_in(hub: RunningHub, url: str, name: str, *, superuser: bool) -> Browser:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
            " email, date_joined) VALUES (%s, %s, true, %s, true, '', '', '', now())",
            (name, make_password(_PASSWORD), superuser),
        )
    return sign_in(hub.http_url, name, _PASSWORD)


@pytest.fixture
def record(database: psycopg.Connection) -> Record:
    """Writes the record of a call that began at noon of a day, UTC."""

    def write(name: str, day: str, **given: Any) -> None:
        values = {
            "id": uuid.uuid4(),
            "tool": "chat",
            "model": "m",
            "provider": "p",
            "status": "succeeded",
            **dict.fromkeys(("request_id", "error_code", "error_message", "cached", "correlation_id"), ""),
            **dict.fromkeys(("queue_ms", "provider_ms", "total_ms"), 0),
            **dict.fromkeys(("started_at", "ended_at"), f"{day} 12:00:00+00:00"),
            **given,
        }
        database.execute(
            f"INSERT INTO tool_calls (client_id, workspace, {', '.join(values)})"
            f" SELECT id, workspace, {', '.join(['%s'] * len(values))} FROM clients WHERE name = %s",
            (*values.values(), name),
        )

    return write


def _client_id(database: psycopg.Connection, name: str) -> int:
    return int(database.execute("SELECT id FROM clients WHERE name = %s", (name,)).fetchall()[0][0])


def test_usage_is_shown_by_day_client_model_and_tool_with_unknown_costs_as_unknown(
    operator: Browser, make_client: MakeClient, database: psycopg.Connection, record: Record
) -> None:
    name, _ = make_client()
    record(name, "2025-06-01", input_tokens=1000, output_tokens=234, cost="0.5")
    record(name, "2025-06-02", input_tokens=10, output_tokens=5, model="mystery", tool="<b>odd</b>")
    base = f"{_PAGE}?first=2025-06-01&last=2025-06-30&client={_client_id(database, name)}"
    for by, shown in (
        ("day", ("2025-06-01", "2025-06-02")),
        ("client", (name,)),
        ("model", ("mystery",)),
        ("tool", ("&lt;b&gt;odd&lt;/b&gt;",)),
    ):
        status, page, _ = operator.get(f"{base}&by={by}")
        assert status == 200
        for text in shown:
            assert f">{text}</a>" in page
        # Every row leads to its calls.
        for url in re.findall(r'class="text-link" href="(/admin/conversations/toolcall/[^"]+)"', page):
            status, calls, _ = operator.get(html.unescape(url))
            assert status == 200
            listed = len(re.findall(r'href="/admin/conversations/toolcall/[0-9a-f-]{36}/change/', calls))
            assert listed == (2 if by == "client" else 1)
    _, page, _ = operator.get(f"{base}&by=day")
    assert "2 calls, 1,249 tokens, $0.5000" in " ".join(page.split())
    assert "The cost of 1 of 2 calls that used a model is unknown and in no sum." in page
    assert '>unknown <span class="text-subtle text-xs">1 call of unknown cost</span>' in page


def test_what_is_no_day_is_said_and_not_shown(operator: Browser) -> None:
    status, page, _ = operator.get(f"{_PAGE}?first=yesterday")
    assert status == 400
    assert "Enter a valid date" in page
    assert operator.get(f"{_PAGE}?first=2025-06-02&last=2025-06-01")[0] == 400
    assert operator.get(f"{_PAGE}export/?first=2025-06-02&last=2025-06-01")[0] == 400
    assert operator.get(f"{_PAGE}?by=nothing")[0] == 400
    assert operator.get(f"{_PAGE}?first=9999-12-31&last=9999-12-31")[0] == 400


def test_the_export_has_every_row_and_no_formula(
    operator: Browser, make_client: MakeClient, database: psycopg.Connection, record: Record
) -> None:
    name, _ = make_client()
    formula = "=HYPERLINK(1)"
    record(name, "2025-06-01", tool=formula, model="@m", input_tokens=7, output_tokens=1, estimated_tokens=3)
    record(name, "2025-06-03", input_tokens=7, output_tokens=1, cost="0.00000004", excess_tokens=2)
    record(name, "2025-07-01", input_tokens=7)
    url = f"{_PAGE}export/?first=2025-06-01&last=2025-06-30&client={_client_id(database, name)}"
    status, text, headers = operator.get(url)
    assert status == 200
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="usage-2025-06-01-2025-06-30-utc.csv"' in headers["Content-Disposition"]
    assert headers["Content-Length"] is None  # it is streamed
    first, second = list(csv.DictReader(io.StringIO(text)))
    assert (first["day_utc"], first["client"], first["tool"], first["model"]) == (
        "2025-06-01",
        name,
        f"'{formula}",
        "'@m",
    )
    assert (first["input_tokens"], first["estimated_tokens"]) == ("7", "3")
    assert (first["cost_usd"], first["calls_of_unknown_cost"]) == ("", "1")
    assert (second["day_utc"], second["cost_usd"], second["excess_tokens"]) == ("2025-06-03", "0.00000004", "2")


def test_budgets_stand_on_the_page_with_what_is_spent_held_and_left(
    operator: Browser,
    make_client: MakeClient,
    database: psycopg.Connection,
    record: Record,
    hub_environment: dict[str, str],
) -> None:
    name, _ = make_client()
    client_id = _client_id(database, name)
    today = datetime.now(UTC)
    record(name, f"{today:%Y-%m-%d}", input_tokens=1000, output_tokens=500, estimated_cost="0.25")
    _, page, _ = operator.get("/admin/exai/budget/add/")
    for unit, amount in (("tokens", "10000"), ("usd", "0.20")):
        fields = [("client", str(client_id)), ("workspace", ""), ("period", "day"), ("unit", unit), ("amount", amount)]
        added = operator.post("/admin/exai/budget/add/", page, fields)[1]
        assert "was added successfully" in added
    held = f"exai:budget:client:{client_id}:day:{today:%Y-%m-%d}:held"
    with Redis.from_url(hub_environment["REDIS_URL"]) as redis:
        redis.zadd(held, {"some-call 2500 0": (today.timestamp() + 60) * 1000, "dead-call 99 0": 1})
        _, shown, _ = operator.get(f"{_PAGE}?client={client_id}")
        redis.delete(held)
    tomorrow = (today + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    cells = " ".join(shown.split())
    assert f"client {name}, 10,000 tokens a day" in cells
    for value in ("1,500", "2,500", "6,000", "$0.2500", "$0.0000", tomorrow.isoformat()):
        assert f">{value}</td>" in cells
    _, refused, _ = operator.post("/admin/exai/budget/add/", page, [*fields[:3], ("unit", "usd"), ("amount", "1")])
    assert "The client has such a budget already." in refused


def test_without_redis_what_is_left_is_unknown(
    hub_environment: dict[str, str],
    hub_database_url: str,
    make_client: MakeClient,
    database: psycopg.Connection,
) -> None:
    name, _ = make_client()
    database.execute(
        "INSERT INTO budgets (client_id, workspace, period, unit, amount) VALUES (%s, '', 'day', 'tokens', 77)",
        (_client_id(database, name),),
    )
    with RunningHub({**hub_environment, "REDIS_URL": "unix:///nonexistent/valkey.sock"}) as hub:
        browser = _signed_in(hub, hub_database_url, "usage-operator-without-redis", superuser=True)
        status, page, _ = browser.get(f"{_PAGE}?client={_client_id(database, name)}")
    assert status == 200
    assert ">unknown</td>" in page
    assert "Redis does not answer" in page


def test_only_who_may_see_calls_sees_usage(hub: RunningHub, hub_database_url: str, operator: Browser) -> None:
    stranger = _signed_in(hub, hub_database_url, "usage-stranger", superuser=False)
    for path in (_PAGE, f"{_PAGE}export/"):
        assert stranger.get(path)[0] == 403
        assert "Log in" in Browser(hub.http_url).get(path)[1]
    assert f'href="{_PAGE}"' in operator.get("/admin/")[1]

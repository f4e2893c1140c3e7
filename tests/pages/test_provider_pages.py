"""Endpoints, models, prices and routes in the admin, as operators meet them."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from exai.sealing import unseal
from tests.conftest import MODELS
from tests.gateway.wire import wire
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in
from tests.upstream import Upstream

_PASSWORD = "correct horse battery staple"
_SECRET = "a key for the tests, of 32 characters and more"
_KEY = "sk-typed-into-the-form-0123456789"
_ENDPOINTS = "/admin/exai/providerendpoint/"
_PATIENCE_S = 5.0
_ids = count()


@pytest.fixture(scope="module")
def operator(hub: RunningHub, hub_database_url: str) -> Browser:
    with psycopg.connect(hub_database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
            " email, date_joined) VALUES ('model-keeper', %s, true, true, true, '', '', '', now())",
            (make_password(_PASSWORD),),
        )
    return sign_in(hub.http_url, "model-keeper", _PASSWORD)


@pytest.fixture
def name(database: psycopg.Connection) -> Iterator[str]:
    """The name of an endpoint that no other test uses; its rows go with the test."""
    name = f"typed-{next(_ids)}"
    yield name
    owners = {"provider_endpoints": "name", "provider_models": "provider", "model_prices": "provider"}
    for table, column in owners.items():
        database.execute(f"DELETE FROM {table} WHERE {column} = %s".encode(), (name,))


def submit(browser: Browser, path: str, **fields: str) -> tuple[int, str]:
    _, form, _ = browser.get(path)
    status, page, _ = browser.post(path, form, list(fields.items()))
    return status, page


def add_endpoint(browser: Browser, name: str, url: str, **fields: str) -> str:
    status, page = submit(browser, f"{_ENDPOINTS}add/", name=name, url=url, enabled="on", **fields)
    assert status == 200
    return page


def row(database: psycopg.Connection, name: str) -> tuple[int, str, str]:
    found = database.execute("SELECT id, url, sealed_key FROM provider_endpoints WHERE name = %s", (name,)).fetchone()
    assert found is not None
    return found


async def test_an_endpoint_that_is_entered_is_in_force_within_a_second_or_so(
    hub: RunningHub, operator: Browser, name: str, token: str, upstream: Upstream
) -> None:
    add_endpoint(operator, name, upstream.url, key=_KEY)
    give_up_at = time.monotonic() + _PATIENCE_S
    async with wire(hub.ws_url, token) as connection:
        while True:
            frames = await connection.call("listmodels", {}, f"page-{next(_ids)}")
            if name in json.loads(frames[-1]["outputs"][0]["text"])["configured_providers"]:
                break
            assert time.monotonic() < give_up_at
            await asyncio.sleep(0.05)


def test_a_key_is_sealed_and_shown_nowhere(
    operator: Browser, name: str, database: psycopg.Connection, hub: RunningHub
) -> None:
    pages = [add_endpoint(operator, name, "https://llm.test/v1", key=f" {_KEY}\n")]
    id_, _, sealed = row(database, name)
    assert unseal(sealed, secret=_SECRET, endpoint=name) == _KEY
    change = f"{_ENDPOINTS}{id_}/change/"
    pages += [operator.get(path)[1] for path in (_ENDPOINTS, change, f"{_ENDPOINTS}{id_}/history/", "/admin/")]
    # A form that is refused comes back without what was typed into it.
    pages.append(submit(operator, change, url="nonsense", enabled="on", key=_KEY)[1])
    assert "It should be a URL" in pages[-1]
    for page in pages:
        assert _KEY not in page
        assert sealed not in page
        assert _KEY[-4:] not in page.replace("0123456789abcdef", "")
    history = database.execute("SELECT object_repr, change_message FROM django_admin_log").fetchall()
    assert not [entry for entry in history if _KEY in str(entry)]
    assert _KEY not in hub.log_text()


def test_a_key_stays_when_the_field_is_left_empty_and_goes_when_it_is_asked_to(
    operator: Browser, name: str, database: psycopg.Connection
) -> None:
    add_endpoint(operator, name, "https://llm.test/v1", key=_KEY)
    id_, _, sealed = row(database, name)
    change = f"{_ENDPOINTS}{id_}/change/"
    submit(operator, change, url="https://llm.test/v1", enabled="on", max_inflight="5")
    assert row(database, name)[2] == sealed
    submit(operator, change, url="https://llm.test/v1", enabled="on", remove_key="on")
    assert row(database, name)[2] == ""


def test_a_key_does_not_follow_to_another_address(operator: Browser, name: str, database: psycopg.Connection) -> None:
    add_endpoint(operator, name, "https://llm.test/v1", key=_KEY)
    id_, _, sealed = row(database, name)
    change = f"{_ENDPOINTS}{id_}/change/"
    _, page = submit(operator, change, url="https://evil.test/v1", enabled="on")
    assert "Enter the key anew" in page
    assert row(database, name)[1:] == ("https://llm.test/v1", sealed)
    submit(operator, change, url="https://moved.test/v1", enabled="on", key="sk-another")
    _, url, sealed = row(database, name)
    assert (url, unseal(sealed, secret=_SECRET, endpoint=name)) == ("https://moved.test/v1", "sk-another")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "exai", "url": "https://llm.test/v1"}, "own test model"),
        ({"name": "Bad Name", "url": "https://llm.test/v1"}, "lower-case letters"),
        ({"name": "nowhere", "url": ""}, "base URL stands here"),
        ({"name": "nowhere", "url": "ftp://llm.test"}, "It should be a URL"),
        ({"name": "nowhere", "url": "https://user:hunter22@llm.test/v1"}, "no user and password"),
        ({"name": "nowhere", "url": "https://llm.test/v1?key=hunter22"}, "It should end with its path"),
        ({"name": "nowhere", "url": "https://llm..test/v1"}, "with the name of a host"),
        ({"name": "nowhere", "url": "https://llm.test/v1", "key": "two words"}, "one word of printable"),
        ({"name": "nowhere", "url": "https://llm.test/v1", "max_inflight": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_makes_no_endpoint_is_refused_with_the_reason(
    operator: Browser, database: psycopg.Connection, fields: dict[str, str], said: str
) -> None:
    _, page = submit(operator, f"{_ENDPOINTS}add/", enabled="on", **fields)
    assert said in page
    assert database.execute("SELECT 1 FROM provider_endpoints WHERE name = %s", (fields["name"],)).fetchone() is None


def test_the_page_shows_what_is_in_force_and_where_it_comes_from(
    operator: Browser, name: str, database: psycopg.Connection
) -> None:
    add_endpoint(operator, name, "https://llm.test/v1")
    _, page, _ = operator.get(_ENDPOINTS)
    assert "A row of the table wins over the environment" in page
    rows = [re.sub(r"<[^>]+>|\s+", " ", found).split() for found in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]
    # What is in force stands above the rows of the table.
    shown = {cells[0]: " ".join(cells[1:]) for cells in reversed(rows) if cells}
    assert shown["upstream"].startswith("in use environment http://127.0.0.1:")
    assert shown["upstream"].endswith(f"set 64 {MODELS + 10}")
    assert shown["kimi"].startswith("No key: set MOONSHOT_API_KEY, or enter one here.")
    assert shown[name] == "in use this table https://llm.test/v1 not set 64 0"
    database.execute("UPDATE provider_endpoints SET enabled = false WHERE name = %s", (name,))
    assert "Disabled." in operator.get(_ENDPOINTS)[1]


def test_endpoints_are_disabled_and_enabled_from_the_list_and_it_is_written_down(
    operator: Browser, name: str, database: psycopg.Connection
) -> None:
    add_endpoint(operator, name, "https://llm.test/v1")
    id_, _, _ = row(database, name)
    for action, enabled in (("disable", False), ("enable", True)):
        _, page, _ = operator.get(_ENDPOINTS)
        operator.post(_ENDPOINTS, page, [("action", action), ("_selected_action", str(id_))])
        assert database.execute("SELECT enabled FROM provider_endpoints WHERE id = %s", (id_,)).fetchone() == (enabled,)
    log = "SELECT change_message FROM django_admin_log WHERE object_repr = %s ORDER BY id DESC LIMIT 2"
    assert [said for (said,) in database.execute(log, (name,)).fetchall()] == ["Enabled.", "Disabled."]


def test_a_model_says_only_what_is_filled_in(operator: Browser, name: str, database: psycopg.Connection) -> None:
    fields = {"provider": name, "model_id": "m", "enabled": "on", "vision": "true", "thinking": "unknown"}
    _, page = submit(
        operator, "/admin/exai/providermodel/add/", **fields, tools="unknown", web_search="false", context="9000"
    )
    assert f"There is no endpoint {name}" in page
    assert operator.get("/admin/exai/providermodel/add/")[1].count("As the catalogue says") == 4
    saved = database.execute(
        "SELECT context, output, vision, thinking, web_search, aliases FROM provider_models WHERE provider = %s",
        (name,),
    ).fetchone()
    assert saved == (9000, None, True, None, False, None)


def test_the_pages_of_models_and_prices_show_what_is_in_force(
    operator: Browser, name: str, database: psycopg.Connection
) -> None:
    add_endpoint(operator, name, "https://llm.test/v1")
    database.execute(
        "INSERT INTO provider_models (provider, model_id, enabled, context, vision)"
        " VALUES (%s, 'seen', true, 9000, true)",
        (name,),
    )
    for path in ("/admin/exai/providermodel/", "/admin/exai/modelprice/"):
        _, page, _ = operator.get(path)
        rows = [re.sub(r"<[^>]+>|\s+", " ", found).split() for found in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]
        assert [name, "seen", "9000", "–", "vision", "unknown"] in rows
    database.execute(
        "INSERT INTO model_prices (provider, model_id, version, effective_from, input, output)"
        " VALUES (%s, 'seen', 'v7', now(), 0, 2.5)",
        (name,),
    )
    _, page, _ = operator.get("/admin/exai/modelprice/")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "vision 0.0 in, 2.5 out (v7)" in text
    assert " 0 as input 2.5 " in text


def test_a_price_is_added_and_never_edited(operator: Browser, name: str, database: psycopg.Connection) -> None:
    fields = {"provider": name, "model_id": "m", "version": "v1", "input": "0.6", "output": "2.5", "cached": ""}
    submit(
        operator,
        "/admin/exai/modelprice/add/",
        **fields,
        effective_from_0="2026-11-01",
        effective_from_1="00:00:00",
    )
    saved = database.execute(
        "SELECT id, input::text, cached, output::text FROM model_prices WHERE provider = %s", (name,)
    ).fetchone()
    assert saved is not None
    assert saved[1:] == ("0.600000", None, "2.500000")
    status, page, _ = operator.get(f"/admin/exai/modelprice/{saved[0]}/change/")
    assert (status, 'name="_save"' in page) == (200, False)


def test_a_route_is_a_list_in_its_order(operator: Browser, database: psycopg.Connection) -> None:
    submit(operator, "/admin/exai/modelroute/add/", name="deep", model_names="kimi-k2,glm/glm-4.6")
    saved = database.execute("DELETE FROM model_routes WHERE name = 'deep' RETURNING model_names").fetchone()
    assert saved == (["kimi-k2", "glm/glm-4.6"],)


def test_the_page_of_routes_shows_what_is_in_force(operator: Browser, name: str, database: psycopg.Connection) -> None:
    def shown() -> dict[str, str]:
        _, page, _ = operator.get("/admin/exai/modelroute/")
        rows = [re.sub(r"<[^>]+>|\s+", " ", found).split() for found in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]
        return {cells[0]: " ".join(cells[1:]) for cells in reversed(rows) if cells}

    assert shown()["deep"].startswith("built in glm-4.6 , kimi-thinking-preview")
    add_endpoint(operator, name, "https://llm.test/v1")
    submit(
        operator, "/admin/exai/providermodel/add/", provider=name, model_id="m-1", aliases=f"of-{name}", enabled="on"
    )
    submit(operator, "/admin/exai/modelroute/add/", name="deep", model_names=f"of-{name},nobody")
    try:
        assert shown()["deep"] == f"this table of-{name} , nobody"
        _, page, _ = operator.get("/admin/exai/modelroute/")
        assert f'text-important">of-{name}<' in page
        assert 'text-subtle">nobody<' in page
    finally:
        database.execute("DELETE FROM model_routes WHERE name = 'deep'")


def test_a_stranger_to_models_sees_no_endpoints(hub: RunningHub, database: psycopg.Connection) -> None:
    database.execute(
        "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
        " email, date_joined) VALUES ('stranger', %s, true, false, true, '', '', '', now())",
        (make_password(_PASSWORD),),
    )
    stranger = sign_in(hub.http_url, "stranger", _PASSWORD)
    assert stranger.get(_ENDPOINTS)[0] == 403

"""A client's form in the admin: its tools are named right, or the form says which are not."""

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from tests.conftest import MakeClient
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in

_PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def operator(hub: RunningHub, hub_database_url: str) -> Browser:
    with psycopg.connect(hub_database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
            " email, date_joined) VALUES ('client-keeper', %s, true, true, true, '', '', '', now())",
            (make_password(_PASSWORD),),
        )
    return sign_in(hub.http_url, "client-keeper", _PASSWORD)


def _submit(
    operator: Browser, database: psycopg.Connection, name: str, **fields: str
) -> tuple[str, tuple[object, ...]]:
    """The page that follows, and what the client's row has then."""
    columns = "id, tool_profile, tools_allowed, tools_denied"
    query = f"SELECT {columns} FROM clients WHERE name = %s".encode()
    row = database.execute(query, (name,)).fetchone()
    assert row is not None
    path = f"/admin/exai/apiclient/{row[0]}/change/"
    _, form, _ = operator.get(path)
    given = {"workspace": name, "scopes": "tools", "enabled": "on", "tool_profile": "standard", **fields}
    _, page, _ = operator.post(path, form, list(given.items()))
    row = database.execute(query, (name,)).fetchone()
    assert row is not None
    return page, row[1:]


def test_the_profile_and_the_lists_are_saved(
    operator: Browser, database: psycopg.Connection, make_client: MakeClient
) -> None:
    name, _ = make_client()
    _, saved = _submit(
        operator, database, name, tool_profile="lean", tools_allowed="status, health", tools_denied="chat"
    )
    assert saved == ("lean", ["status", "health"], ["chat"])


@pytest.mark.parametrize("field", ["tools_allowed", "tools_denied"])
def test_a_name_that_is_no_tools_is_refused(
    operator: Browser, database: psycopg.Connection, make_client: MakeClient, field: str
) -> None:
    name, _ = make_client()
    page, saved = _submit(operator, database, name, **{field: "chat,no_such_tool"})
    assert "There are no tools of these names: no_such_tool." in page
    assert saved == ("standard", [], [])


def test_a_profile_that_there_is_not_is_refused(
    operator: Browser, database: psycopg.Connection, make_client: MakeClient
) -> None:
    name, _ = make_client()
    _, saved = _submit(operator, database, name, tool_profile="fat")
    assert saved[0] == "standard"

"""A provider that is left alone after failures is shown among the endpoints, and asked again at an operator's word."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from tests.gateway.wire import wire
from tests.hub import RunningHub
from tests.pages.browser import Browser, sign_in
from tests.upstream import Upstream

_PASSWORD = "correct horse battery staple"
_ENDPOINTS = "/admin/exai/providerendpoint/"


@pytest.fixture
def guarded_hub(hub_environment: dict[str, str], redis_url: str) -> Iterator[RunningHub]:
    settings = {"REDIS_URL": redis_url, "EXAI_BREAKER_OPEN_SECS": "600", "EXAI_PROVIDER_RETRIES": "0"}
    with RunningHub({**hub_environment, **settings}) as hub:
        yield hub


def _operator(hub: RunningHub, database: psycopg.Connection, name: str, *, superuser: bool) -> Browser:
    database.execute(
        "INSERT INTO auth_user (username, password, is_staff, is_superuser, is_active, first_name, last_name,"
        " email, date_joined) VALUES (%s, %s, true, %s, true, '', '', '', now())",
        (name, make_password(_PASSWORD), superuser),
    )
    return sign_in(hub.http_url, name, _PASSWORD)


async def test_an_open_breaker_is_shown_and_can_be_reset(
    guarded_hub: RunningHub, database: psycopg.Connection, token: str, upstream: Upstream, model: str
) -> None:
    operator = _operator(guarded_hub, database, f"breaker-keeper-{model}", superuser=True)
    other = _operator(guarded_hub, database, f"nobody-{model}", superuser=False)
    upstream.behave(model, status=500)
    async with wire(guarded_hub.ws_url, token) as connection:
        for number in range(20):  # five failures; that it is open then is told a moment later
            refused = (await connection.call("chat", {"prompt": str(number), "model": model}, number))[-1]
            if refused["error"]["code"] == "SERVICE_UNAVAILABLE":
                break
        assert refused["error"]["code"] == "SERVICE_UNAVAILABLE"

        _, page, _ = operator.get(_ENDPOINTS)
        assert re.search(r"left alone for \d+ s more", page)
        path = "/admin/breakers/upstream/reset/"
        assert path in page
        assert operator.get(path)[0] == 405
        assert other.post(path, other.get("/admin/")[1], [])[0] == 403
        status, page, _ = operator.post(path, page, [])
        assert status == 200
        assert "upstream is asked again." in page
        assert "left alone" not in page

        upstream.behave(model)
        for number in range(100):
            again = (await connection.call("chat", {"prompt": "y", "model": model}, f"again-{number}"))[-1]
            if again["ok"]:
                break
        assert again["ok"]
    _, page, _ = operator.post(path, page, [])
    assert "was closed already" in page

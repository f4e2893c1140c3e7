"""The tools about the hub over the wire: real state, and of other workspaces nothing without the scope admin."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.conftest import MakeClient
from tests.gateway.wire import Wire, envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream

_PATIENCE_S = 5.0


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def _activity(connection: Wire, request_id: str, *, at_least: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    """As soon as so many calls are on record: that happens beside their answers."""
    give_up_at = time.monotonic() + _PATIENCE_S
    for attempt in range(10_000):
        answer = envelope(
            (await connection.call("activity", {"structured": True, **arguments}, f"{request_id}-{attempt}"))[-1]
        )
        calls: list[dict[str, Any]] = [call for call in answer["calls"] if call["tool"] != "activity"]
        if len(calls) >= at_least:
            return calls
        assert time.monotonic() < give_up_at, calls
    raise AssertionError


async def test_activity_shows_the_calls_of_the_own_workspace_newest_first(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="Hello")
    (name, token), (_, foreign) = make_client(), make_client()
    async with wire(hub.ws_url, foreign) as connection:
        await connection.call("version", {}, "foreign")
    async with wire(hub.ws_url, token) as connection:
        await connection.call("chat", {"prompt": "Hi", "model": model}, "good")
        upstream.behave(model, status=400, error_body={"error": {"message": "the vendor's own words"}})
        await connection.call("chat", {"prompt": "Hi", "model": model}, "bad")
        await connection.call("listmodels", {}, "models")
        calls = await _activity(connection, "all", at_least=3)
        assert [(call["tool"], call["status"], call["error_code"]) for call in calls] == [
            ("listmodels", "succeeded", ""),
            ("chat", "failed", "PROVIDER_ERROR"),
            ("chat", "succeeded", ""),
        ]
        assert {(call["workspace"], call["client"]) for call in calls} == {(name, name)}
        assert calls[2]["output_tokens"] == 1
        [failed] = await _activity(connection, "server", source="server")
        assert "the vendor's own words" in failed["message"]
        assert len(await _activity(connection, "model", filter=model.upper(), at_least=2)) == 2
        assert len(await _activity(connection, "error", filter="own WORDS")) == 1
        before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        assert await _activity(connection, "none", at_least=0, until=before) == []
        found = envelope((await connection.call("activity", {"filter": "own words"}, "lines"))[-1])
        assert found["count"] == len(found["lines"]) == 1


async def test_hub_wide_figures_need_the_scope_admin(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, status=400, error_body={"error": {"message": f"only of {model}"}})
    (name, token), (_, other) = make_client(), make_client()
    _, admin = make_client(scopes=("tools", "admin"))
    async with wire(hub.ws_url, token) as connection:
        await connection.call("chat", {"prompt": "Hi", "model": model}, "bad")
        await _activity(connection, "own", source="server")
    async with wire(hub.ws_url, other) as connection:
        assert await _activity(connection, "other", at_least=0, filter=model) == []
        status = envelope((await connection.call("status", {"tail_lines": 500}, "status"))[-1])
        assert status["failures_last_hour"] == []
    async with wire(hub.ws_url, admin) as connection:
        [call] = await _activity(connection, "admin", filter=f"only of {model}")
        assert (call["workspace"], call["error_code"]) == (name, "PROVIDER_ERROR")
        status = envelope((await connection.call("status", {"tail_lines": 500}, "status"))[-1])
        assert any(model in failure["message"] or failure["model"] == model for failure in status["failures_last_hour"])


async def test_self_check_tries_everything_and_leaves_nothing_behind(
    hub: RunningHub, hub_environment: dict[str, str], token: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        content = envelope((await connection.call("self-check", {}, "check"))[-1])
    states = {check["name"]: check["status"] for check in content["checks"]}
    assert {name: states[name] for name in ("database", "redis", "file_store", "extraction", "scopes")} == {
        "database": "ok",
        "redis": "ok",
        "file_store": "ok",
        "extraction": "ok",
        "scopes": "ok",
    }
    assert states["provider upstream"] == "ok"
    assert "disk" in states
    assert _files_in(Path(hub_environment["EXAI_DATA_DIR"]) / "files" / ".check") == []


async def test_provider_capabilities_are_those_of_this_hub(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        content = envelope((await connection.call("provider_capabilities", {"show_advanced": True}, "caps"))[-1])
    [vendor] = [provider for provider in content["providers"] if provider["name"] == "upstream"]
    assert (vendor["healthy"], vendor["requests_in_flight_limit"]) == (True, 64)
    assert {"id": "small-1", "context_tokens": 1000, "output_tokens": None, "abilities": []} in vendor["models"]
    assert content["limits"]["calls_in_flight"] == 256
    assert {"provider": "kimi", "set": "MOONSHOT_API_KEY"} in content["not_configured"]

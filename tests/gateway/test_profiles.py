"""A client is shown, and may call, the tools of its profile and lists; a change counts within a second."""

from typing import Any

import psycopg
import pytest

from exai.tools.profiles import tools_of
from tests.conftest import MakeClient
from tests.gateway.wire import Wire, envelope, wire
from tests.hub import RunningHub


def _set(database: psycopg.Connection, name: str, **columns: Any) -> None:
    for column, value in columns.items():
        database.execute(f"UPDATE clients SET {column} = %s WHERE name = %s".encode(), (value, name))


async def _listed(connection: Wire) -> list[str]:
    await connection.send({"op": "list_tools"})
    return [tool["name"] for tool in (await connection.receive())["tools"]]


async def test_a_new_client_has_the_standard_profile(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        assert await _listed(connection) == list(tools_of("standard"))


async def test_the_lists_come_on_top_of_the_profile(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection
) -> None:
    name, token = make_client()
    _set(database, name, tool_profile="lean", tools_allowed=["status"], tools_denied=["version"])
    async with wire(hub.ws_url, token) as connection:
        assert await _listed(connection) == list(tools_of("lean", ("status",), ("version",)))
        status = envelope((await connection.call("status", {"include_tools": True}, "status"))[-1])
        assert status["tools"] == list(tools_of("lean", ("status",), ("version",)))
        await connection.send({"op": "health"})
        assert (await connection.receive())["health"]["tool_count"] == len(status["tools"])


@pytest.mark.parametrize(
    ("columns", "tool", "why"),
    [
        ({"tool_profile": "lean"}, "health", "is not in this client's profile (lean)"),
        ({"tools_denied": ["health"]}, "health_EXAI-WS", "is denied to this client (standard)"),
    ],
)
async def test_a_tool_outside_of_them_is_not_found_and_the_answer_says_why(
    hub: RunningHub,
    make_client: MakeClient,
    database: psycopg.Connection,
    columns: dict[str, Any],
    tool: str,
    why: str,
) -> None:
    name, token = make_client()
    _set(database, name, **columns)
    async with wire(hub.ws_url, token) as connection:
        frames = await connection.call(tool, {})
    assert [frame["op"] for frame in frames] == ["call_tool_res"]
    assert frames[0]["error"]["code"] == "TOOL_NOT_FOUND"
    assert why in frames[0]["error"]["message"]


async def test_an_unknown_tool_is_answered_with_those_of_the_client(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection
) -> None:
    name, token = make_client()
    _set(database, name, tool_profile="lean")
    async with wire(hub.ws_url, token) as connection:
        [refused] = await connection.call("no_such_tool", {})
    assert refused["error"]["message"].endswith(f"There are: {', '.join(tools_of('lean'))}.")


@pytest.mark.parametrize(
    "change", [{"tool_profile": "lean"}, {"tools_denied": ["chat"]}, {"tools_allowed": ["version"]}]
)
async def test_a_change_reaches_a_live_connection(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, change: dict[str, Any]
) -> None:
    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        before = await _listed(connection)
        _set(database, name, **change)
        assert await connection.closed() == (1012, "the client was changed, connect again")
    async with wire(hub.ws_url, token) as connection:
        assert await _listed(connection) == list(
            tools_of(
                change.get("tool_profile", "standard"),
                tuple(change.get("tools_allowed", ())),
                tuple(change.get("tools_denied", ())),
            )
        )
    assert before == list(tools_of("standard"))

"""Requests on an open connection: every op, and what is answered to frames that are none."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from exai.tools.profiles import tools_of
from exai.tools.table import TOOLS
from tests.conftest import MakeClient
from tests.gateway.wire import envelope, wire
from tests.hub import RunningHub
from tests.upstream import Upstream


async def test_ping_is_answered_with_its_request_id_whatever_its_type(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        for request_id in ("a", 7):
            await connection.send({"op": "ping", "request_id": request_id})
            pong = await connection.receive()
            assert (pong["op"], pong["request_id"]) == ("pong", request_id)
        await connection.send({"op": "ping"})
        assert "request_id" not in await connection.receive()


async def test_list_tools_gives_every_tool_with_its_schema(hub: RunningHub, make_client: MakeClient) -> None:
    _, token = make_client(profile="full")
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "list_tools", "request_id": 1})
        answer = await connection.receive()
    assert (answer["op"], answer["request_id"]) == ("list_tools_res", 1)
    assert [tool["name"] for tool in answer["tools"]] == [tool.name for tool in TOOLS]
    assert all(tool["description"] and tool["inputSchema"]["type"] == "object" for tool in answer["tools"])


async def test_a_client_without_the_scope_tools_sees_and_calls_none(hub: RunningHub, make_client: MakeClient) -> None:
    _, token = make_client(scopes=("files",))
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "list_tools"})
        assert (await connection.receive())["tools"] == []
        (result,) = await connection.call("version", {})
    assert result["error"]["code"] == "UNAUTHORIZED"


async def test_health_tells_of_sessions_and_calls(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "health"})
        answer = await connection.receive()
    assert (answer["op"], answer["ok"]) == ("health_res", True)
    assert answer["health"]["sessions"] >= 1
    assert answer["health"]["tool_count"] == len(tools_of("standard"))
    assert answer["health"]["t"] > 1_700_000_000


@pytest.mark.parametrize(
    ("frame", "code", "request_id"),
    [
        ("no json", "INVALID_REQUEST", None),
        ("[]", "INVALID_REQUEST", None),
        ({"request_id": "r"}, "INVALID_REQUEST", "r"),
        ({"op": "unknown", "request_id": 5}, "INVALID_REQUEST", 5),
        ({"op": "call_tool", "request_id": "r"}, "INVALID_REQUEST", "r"),
        ({"op": "call_tool", "request_id": "r", "name": 3}, "INVALID_REQUEST", "r"),
        ({"op": "tool_call", "request_id": "r", "arguments": {}}, "INVALID_REQUEST", "r"),
        ({"op": "ping", "request_id": "x" * 300}, "VALIDATION_ERROR", "x" * 300),
        ({"op": "ping", "request_id": "r", "text": "\0"}, "VALIDATION_ERROR", "r"),
        ('{"op":"ping","request_id":"r","text":"\\ud800"}', "VALIDATION_ERROR", "r"),
        ({"op": "resume", "request_id": "r", "after": -1}, "NOT_FOUND", "r"),
    ],
)
async def test_a_bad_frame_is_answered_and_never_closes_the_connection(
    hub: RunningHub, token: str, frame: Any, code: str, request_id: Any
) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.send(frame)
        answer = await connection.receive()
        assert (answer["op"], answer["error"]["code"], answer.get("request_id")) == ("error", code, request_id)
        await connection.send({"op": "ping"})
        assert (await connection.receive())["op"] == "pong"


async def test_a_binary_frame_is_answered_with_validation_error(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.socket.send_bytes(b"{}")
        assert (await connection.receive())["error"]["code"] == "VALIDATION_ERROR"


async def test_a_frame_larger_than_allowed_closes_with_1009(hub_environment: dict[str, str], token: str) -> None:
    with RunningHub({**hub_environment, "EXAI_WS_MAX_BYTES": "2000"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            await connection.send({"op": "ping", "padding": "x" * 2000})
            assert (await connection.closed())[0] == 1009


async def test_arguments_larger_than_allowed_are_refused_with_their_size(
    hub_environment: dict[str, str], token: str
) -> None:
    with RunningHub({**hub_environment, "TOOL_CALL_MAX_SIZE": "1024"}) as hub:
        async with wire(hub.ws_url, token) as connection:
            (result,) = await connection.call("chat", {"prompt": "x" * 2000})
    assert result["error"]["code"] == "OVER_CAPACITY"
    assert result["error"]["details"]["limit"] == 1024
    assert result["error"]["details"]["actual_size"] > 2000


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x", "temperature": 1.5}, "temperature"),
        ({"prompt": "x", "temperature": "0.5"}, "temperature"),
        ({"prompt": "x", "thinking_mode": "huge"}, "thinking_mode"),
        ({"prompt": "x", "unknown": 1}, "unknown"),
        ({"prompt": "x", "model": "no-such-model"}, "model"),
        ({"prompt": " "}, "prompt"),
    ],
)
async def test_wrong_arguments_are_named_field_by_field(
    hub: RunningHub, token: str, arguments: dict[str, Any], field: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", arguments))[-1]
    assert result["ok"] is False
    assert result["error"]["code"] == "VALIDATION_ERROR"
    assert field in result["error"]["details"]
    assert envelope(result)["status"] == "error"


async def test_arguments_that_are_no_object_are_refused(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.send('{"op":"call_tool","request_id":"r","name":"chat","arguments":[1]}')
        result = await connection.receive()
    assert (result["op"], result["error"]["code"]) == ("call_tool_res", "VALIDATION_ERROR")


async def test_an_unknown_tool_is_named_with_those_there_are(
    hub: RunningHub, token: str, database: psycopg.Connection
) -> None:
    async with wire(hub.ws_url, token) as connection:
        (result,) = await connection.call("no_such_tool", {})
    assert result["error"]["code"] == "TOOL_NOT_FOUND"
    assert "listmodels" in result["error"]["message"]


@pytest.mark.parametrize("suffix", ["_EXAI-WS", "-EXAI-WS", "_EXAI_WS", "-EXAI_WS"])
async def test_suffixes_of_released_clients_are_stripped(hub: RunningHub, token: str, suffix: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        ack, *_, result = await connection.call("version" + suffix, {})
    assert ack["name"] == "version"
    assert result["ok"]


@pytest.mark.parametrize("naming", [{"tool": {"name": "version"}}, {"name": "version"}])
async def test_tool_call_is_the_same_as_call_tool(hub: RunningHub, token: str, naming: dict[str, Any]) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "tool_call", "request_id": 3, **naming, "arguments": {}})
        frames = await connection.until("call_tool_res", 3)
    assert [frame["op"] for frame in (frames[0], frames[-1])] == ["call_tool_ack", "call_tool_res"]


async def test_a_call_without_a_request_id_gets_one(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        await connection.send({"op": "call_tool", "name": "version", "arguments": {}})
        ack, *_, result = await connection.until("call_tool_res")
    assert ack["request_id"] == result["request_id"]


async def test_the_same_request_id_with_other_arguments_is_a_new_call(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=0.3)
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "a", "model": model}, "same")
        await connection.until("call_tool_ack", "same")
        version = (await connection.call("version", {}, "same"))[-1]
        chat = (await connection.until("call_tool_res", "same"))[-1]
    assert json.loads(version["outputs"][0]["text"])["name"] == "EXAI"
    assert json.loads(chat["outputs"][0]["text"])["content"] == "You said: a"


async def test_version_answers_at_once_during_a_long_call(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, delay_s=1.0)
    async with wire(hub.ws_url, token) as connection:
        await connection.start("chat", {"prompt": "slow", "model": model}, "slow")
        await connection.until("call_tool_ack", "slow")
        order: list[str] = []
        for request_id in ("v1", "v2"):
            await connection.start("version", {}, request_id)
        while len(order) < 3:
            frame = await connection.receive()
            if frame["op"] == "call_tool_res":
                order.append(frame["request_id"])
    assert set(order[:2]) == {"v1", "v2"}
    assert order[2] == "slow"


async def test_the_tools_about_the_hub_tell_what_is_so(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        answers = {}
        for tool in ("version", "status", "health", "listmodels"):
            result = (await connection.call(tool, {}))[-1]
            answers[tool] = json.loads(result["outputs"][0]["text"])
        status = (await connection.call("status", {"include_tools": True, "doctor": True, "probe": True}))[-1]
    assert answers["version"]["name"] == "EXAI"
    assert answers["status"]["connections"] >= 1
    assert answers["health"]["ok"]
    assert {component["status"] for component in answers["health"]["components"].values()} == {"ok"}
    models = {model["id"]: model for model in answers["listmodels"]["models"]}
    assert models["model-0"]["provider"] == "upstream"
    assert models["exai-echo"]["test_model"]
    assert [vendor["set"] for vendor in answers["listmodels"]["not_configured"]] == ["MOONSHOT_API_KEY", "ZAI_API_KEY"]
    assert "chat" in json.loads(status["outputs"][0]["text"])["tools"]


async def test_status_shows_failures_of_the_own_workspace_only(
    hub: RunningHub, make_client: MakeClient, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, status=401)
    _, mine = make_client()
    _, other = make_client()
    async with wire(hub.ws_url, mine) as connection:
        failed = (await connection.call("chat", {"prompt": "x", "model": model}))[-1]
        assert failed["error"]["code"] == "PROVIDER_ERROR"
        seen = await _failures_until_there_is_one(connection)
    async with wire(hub.ws_url, other) as connection:
        status = (await connection.call("status", {}))[-1]
    assert [failure["error_code"] for failure in seen] == ["PROVIDER_ERROR"]
    assert json.loads(status["outputs"][0]["text"])["failures_last_hour"] == []


async def _failures_until_there_is_one(connection: Any) -> list[dict[str, Any]]:
    # The record of a failed call is written beside its answer, not before it.
    for attempt in range(50):
        status = (await connection.call("status", {}, f"look {attempt}"))[-1]
        failures: list[dict[str, Any]] = json.loads(status["outputs"][0]["text"])["failures_last_hour"]
        if failures:
            return failures
        await asyncio.sleep(0.02)
    raise AssertionError("the failed call never appeared")


async def test_a_client_rotates_its_own_token(hub: RunningHub, make_client: MakeClient) -> None:
    _, old = make_client()
    new = old.replace("token", "fresh")
    async with wire(hub.ws_url, old) as connection:
        for given, error in (
            ({}, "missing_params"),
            ({"old": "wrong", "new": new}, "unauthorized"),
            ({"old": old, "new": "short"}, "weak_token"),
        ):
            await connection.send({"op": "rotate_token", **given})
            assert (await connection.receive()) == {"op": "rotate_token_res", "ok": False, "error": error}
        await connection.send({"op": "rotate_token", "old": old, "new": new})
        assert (await connection.receive())["ok"]
        assert (await connection.closed())[0] == 4003
    async with wire(hub.ws_url) as connection:
        assert not (await connection.hello(old))["ok"]
    async with wire(hub.ws_url, new):
        pass


@pytest.mark.parametrize("change", ["enabled = false", "expires_at = now()", "token_hash = md5(random()::text)"])
async def test_disabling_expiring_or_rotating_closes_live_connections_within_a_second(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, change: str
) -> None:
    import time

    name, token = make_client()
    async with wire(hub.ws_url, token) as connection:
        started = time.monotonic()
        database.execute(f"UPDATE clients SET {change} WHERE name = %s".encode(), (name,))
        assert await connection.closed() == (4003, "unauthorized")
        assert time.monotonic() - started < 1.0


async def test_thousands_of_wrong_values_are_counted_instead_of_listed(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {f"field-{number}": 1 for number in range(5000)}))[-1]
    assert result["error"]["code"] == "VALIDATION_ERROR"
    assert result["error"]["details"] == {"arguments": "5001 values are wrong or missing"}


@pytest.mark.parametrize("field", ["files", "images"])
async def test_of_a_list_the_first_wrong_item_is_named_and_no_other_looked_at(
    hub: RunningHub, token: str, field: str
) -> None:
    async with wire(hub.ws_url, token) as connection:
        result = (await connection.call("chat", {"prompt": "Hi", field: ["a.py", *[{}] * 5000]}))[-1]
    assert result["error"]["code"] == "VALIDATION_ERROR"
    assert {path.split(".")[:2][-1] for path in result["error"]["details"]} == {"1"}

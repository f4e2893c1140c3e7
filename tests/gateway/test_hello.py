"""The first frame of a connection: every case and close code of the protocol."""

from typing import Any

import aiohttp
import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import wire
from tests.hub import RunningHub

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["", "ws/tools/"])
async def test_a_client_with_a_valid_token_is_acknowledged_on_both_paths(
    hub: RunningHub, token: str, path: str
) -> None:
    async with wire(hub.ws_url + path) as connection:
        ack = await connection.hello(token, "my-session_1")
    assert (ack["op"], ack["ok"], ack["session_id"]) == ("hello_ack", True, "my-session_1")


@pytest.mark.parametrize("session_id", [None, "no spaces allowed", "ab", "x" * 65, 7, ["a"]])
async def test_a_missing_or_malformed_session_id_gets_a_fresh_one(hub: RunningHub, token: str, session_id: Any) -> None:
    async with wire(hub.ws_url) as connection:
        hello = {"op": "hello", "token": token, "unknown": "fields are ignored"}
        await connection.send(hello if session_id is None else {**hello, "session_id": session_id})
        ack = await connection.receive()
    assert ack["ok"]
    assert ack["session_id"] != session_id
    assert 3 <= len(ack["session_id"]) <= 64


@pytest.mark.parametrize("text", ["no json", "[1]", '"hello"', "", "{" * 100_000])
async def test_a_first_frame_that_is_no_json_object_is_refused_with_4000(hub: RunningHub, text: str) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.send(text)
        assert await connection.receive() == {"op": "hello_ack", "ok": False, "error": "invalid_hello"}
        assert await connection.closed() == (4000, "invalid hello")


async def test_a_binary_first_frame_is_refused_with_4000(hub: RunningHub) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.socket.send_bytes(b"\x00\x01")
        assert (await connection.receive())["error"] == "invalid_hello"
        assert await connection.closed() == (4000, "invalid hello")


async def test_another_op_before_hello_is_refused_with_4001(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.send({"op": "list_tools", "token": token})
        assert await connection.receive() == {"op": "hello_ack", "ok": False, "error": "missing_hello"}
        assert await connection.closed() == (4001, "missing hello")


async def test_silence_is_ended_with_4002(hub_environment: dict[str, str]) -> None:
    with RunningHub({**hub_environment, "EXAI_WS_HELLO_TIMEOUT": "0.2"}) as hub:
        async with wire(hub.ws_url) as connection:
            assert await connection.closed() == (4002, "hello timeout or disconnect")


@pytest.mark.parametrize("given", [{}, {"token": ""}, {"token": None}, {"token": 5}, {"token": "wrong"}])
async def test_no_or_an_unknown_token_is_refused_with_4003(hub: RunningHub, given: dict[str, Any]) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.send({"op": "hello", "session_id": "abc", **given})
        assert await connection.receive() == {"op": "hello_ack", "ok": False, "error": "unauthorized"}
        assert await connection.closed() == (4003, "unauthorized")


@pytest.mark.parametrize("change", ["enabled = false", "expires_at = now() - interval '1 second'"])
async def test_a_disabled_or_expired_token_is_refused_with_4003(
    hub: RunningHub, make_client: MakeClient, database: psycopg.Connection, change: str
) -> None:
    name, token = make_client()
    database.execute(f"UPDATE clients SET {change} WHERE name = %s".encode(), (name,))
    async with wire(hub.ws_url) as connection:
        assert (await connection.hello(token))["error"] == "unauthorized"
        assert await connection.closed() == (4003, "unauthorized")


async def test_nothing_unsolicited_is_sent_after_the_acknowledgement(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token) as connection:
        with pytest.raises(TimeoutError):
            await connection.socket.receive(timeout=0.5)


async def test_a_token_never_reaches_the_log(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url) as connection:
        await connection.hello(token + "-wrong")
        await connection.closed()
    async with wire(hub.ws_url, token):
        pass
    assert token not in hub.log_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),
        ({}, 101),
    ],
)
async def test_pages_of_another_origin_are_refused(hub: RunningHub, headers: dict[str, str], status: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(hub.http_url, headers={**_UPGRADE, **headers}) as response,
    ):
        assert response.status == status


async def test_a_page_of_the_hub_itself_may_connect(hub: RunningHub, token: str) -> None:
    async with wire(hub.ws_url, token, headers={"Origin": hub.http_url}) as connection:
        await connection.send({"op": "ping", "request_id": 1})
        assert (await connection.receive())["op"] == "pong"

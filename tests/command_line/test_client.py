"""The client against servers that are no hub, fall silent or send garbage: an error in words, and soon."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from exai.client import CannotConnect, ConnectionLost, Refused, connected
from tests.hub import PROJECT_DIR, hub_environment

_ACK = '{"op":"hello_ack","ok":true,"session_id":"s"}'
_PATIENCE_S = 20
Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """A WebSocket server; its address."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await serve(response)
        return response

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"ws://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


def after_hello(*answers: str | bytes) -> Serve:
    """Answers the hello with these messages, and keeps the connection open."""

    async def serve(response: web.WebSocketResponse) -> None:
        await response.receive()
        for answer in answers:
            await (response.send_str(answer) if isinstance(answer, str) else response.send_bytes(answer))
        async for _ in response:
            pass

    return serve


async def echo(response: web.WebSocketResponse) -> None:
    async for message in response:
        await response.send_str(message.data)


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(echo, id="echo"),
        *(after_hello(answer) for answer in ("Welcome!", "", "[]", "5", '{"ok":true}', '{"op":"hello_ack"}', b"\x00")),
    ],
)
async def test_a_server_that_is_no_hub_is_told_apart(serve: Serve) -> None:
    async with server(serve) as url:
        with pytest.raises(CannotConnect, match="answers, but not as an EXAI hub"):
            async with connected(url, "token"):
                pytest.fail("connected")


async def test_a_server_that_never_answers_the_hello_is_given_up() -> None:
    async with server(after_hello()) as url:
        with pytest.raises(CannotConnect, match=r"did not answer within 0\.2 seconds"):
            async with connected(url, "token", answers_within_s=0.2):
                pytest.fail("connected")


async def test_an_address_that_accepts_and_never_answers_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(CannotConnect, match=r"did not answer within 0\.2 seconds"),
    ):
        async with connected(f"ws://127.0.0.1:{listening.getsockname()[1]}/", "token", answers_within_s=0.2):
            pytest.fail("connected")


async def test_a_refusal_without_a_close_is_a_refusal_all_the_same() -> None:
    async with server(after_hello('{"op":"hello_ack","ok":false,"error":"unauthorized"}')) as url:
        with pytest.raises(Refused) as caught:
            async with connected(url, "token", answers_within_s=0.3):
                pytest.fail("connected")
    assert caught.value.error == "unauthorized"


async def test_connecting_and_calling_are_not_under_the_same_limit() -> None:
    async def slow(response: web.WebSocketResponse) -> None:
        await response.receive()
        await response.send_str(_ACK)
        asked = json.loads((await response.receive()).data)
        await asyncio.sleep(0.5)
        await response.send_str(json.dumps({"op": "call_tool_res", "request_id": asked["request_id"], "ok": True}))
        await response.receive()

    async with server(slow) as url, connected(url, "token", answers_within_s=0.3) as client:
        assert (await client.call("chat", {}))["ok"]


@pytest.mark.parametrize("garbage", ["no JSON", "[]", "5", '"text"', '{"op":"error","request_id":[]}'])
async def test_garbage_in_a_call_ends_it_with_words(garbage: str) -> None:
    async def serve(response: web.WebSocketResponse) -> None:
        await response.receive()
        await response.send_str(_ACK)
        await response.receive()
        await response.send_str(garbage)
        async for _ in response:
            pass

    async with server(serve) as url, connected(url, "token") as client:
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost, match="sent something that is no frame"):
                await client.call("chat", {})
            # What is asked later is not left waiting either.
            with pytest.raises(ConnectionLost, match="sent something that is no frame"):
                await client.request("ping")


def _call(url: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "call", "version", "--url", url, "--token", "token"],
        cwd=PROJECT_DIR,
        env=hub_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_the_command_says_in_words_what_is_no_hub() -> None:
    for serve, code in ((echo, 3), (after_hello(_ACK, "no JSON"), 3)):
        async with server(serve) as url:
            process = _call(url)
            output, errors = await asyncio.to_thread(process.communicate, timeout=_PATIENCE_S)
        assert (process.returncode, output) == (code, "")
        assert "Traceback" not in errors
        assert errors.count("\n") == 1


async def test_the_command_shows_an_error_that_answers_the_list_of_tools() -> None:
    async def busy(response: web.WebSocketResponse) -> None:
        await response.receive()
        await response.send_str(_ACK)
        asked = json.loads((await response.receive()).data)
        error = {"code": "OVER_CAPACITY", "message": "Too many frames."}
        await response.send_str(json.dumps({"op": "error", "request_id": asked["request_id"], "error": error}))
        await response.receive()

    async with server(busy) as url:
        process = _call(url)
        _, errors = await asyncio.to_thread(process.communicate, timeout=_PATIENCE_S)
    assert (process.returncode, errors) == (1, "OVER_CAPACITY: Too many frames.\n")


@pytest.mark.parametrize("answers", [(), (_ACK,)], ids=["at the hello", "at the list of tools"])
async def test_ctrl_c_before_the_call_has_begun_ends_the_command_quietly(answers: tuple[str, ...]) -> None:
    waiting = asyncio.Event()

    async def serve(response: web.WebSocketResponse) -> None:
        await response.receive()
        for answer in answers:
            await response.send_str(answer)
            await response.receive()
        waiting.set()
        async for _ in response:
            pass

    async with server(serve) as url:
        process = _call(url)
        try:
            await asyncio.wait_for(waiting.wait(), _PATIENCE_S)
            process.send_signal(signal.SIGINT)
            output, errors = await asyncio.to_thread(process.communicate, timeout=_PATIENCE_S)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (130, "", "")


async def test_ctrl_c_while_the_command_starts_ends_it_quietly(tmp_path: Path) -> None:
    settings = tmp_path / "settings.env"
    os.mkfifo(settings)
    process = _call("ws://127.0.0.1:1/", EXAI_ENV_FILE=str(settings))
    try:
        # Opened as soon as the command reads its settings, which it then does until we close.
        with await asyncio.wait_for(asyncio.to_thread(settings.open, "w"), _PATIENCE_S):
            process.send_signal(signal.SIGINT)
            _, errors = await asyncio.to_thread(process.communicate, timeout=_PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "")

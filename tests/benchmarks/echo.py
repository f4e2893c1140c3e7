"""The baseline of the web process: a bare ASGI app, on the hub's server, that sends back each frame it gets, and reads
what is posted to it and drops it."""

import argparse
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

_READY: list[dict[str, Any]] = [
    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "http":  # RunningHub asks whether it is ready, or something is uploaded
        while (await receive()).get("more_body"):
            pass
        for event in _READY:
            await send(event)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.echo", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="listening socket to serve on")
    arguments = parser.parse_args()
    # The server settings of exai.web: beside them stands only what the hub itself costs.
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=32 * 1024 * 1024,
        ws_ping_interval=30,
        ws_ping_timeout=30,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=arguments.fd)])

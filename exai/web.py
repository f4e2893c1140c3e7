"""The web process: uvicorn on a socket that the supervisor listens on, and an end that loses no call.

`python -m exai.web --fd N [--parent-fd M]`. On SIGTERM or SIGINT, or when the supervisor dies, running calls finish
and their answers are delivered before any connection is closed (uvicorn's own shutdown closes them within 50 ms).
"""

import argparse
import asyncio
import gc
import logging
import signal
import socket
from types import FrameType

import uvicorn

from exai.asgi import application  # sets Django up, before anything that imports models
from exai.gateway.gateway import gateway
from exai.logs import configure_logs
from exai.settings.hub import HubSettings, hub_settings
from exai.supervisor.parent import when_parent_dies
from exai.web_socket import HubWebSocketProtocol

logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """The first signal drains; a SIGINT after it ends at once. A second SIGTERM does not: service managers send one to
    every process, and the supervisor sends another."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)
        await gateway().close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is None or (self._draining is not None and sig == signal.SIGINT):
            self.should_exit = self.force_exit = True
        else:
            self._loop.call_soon_threadsafe(self._start_drain)

    def _start_drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        logger.info("draining: running calls finish, new ones are refused")
        try:
            await gateway().drain()
        finally:
            self.should_exit = True


def server(settings: HubSettings) -> DrainingServer:
    """A server of the hub's application, not yet listening."""
    return DrainingServer(
        uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            ws=HubWebSocketProtocol,
            ws_max_size=settings.ws_max_bytes,
            ws_ping_interval=settings.ws_ping_interval,
            ws_ping_timeout=settings.ws_ping_timeout,
            # Deflate would more than double the memory of an idle connection.
            ws_per_message_deflate=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            # Client addresses behind proxies are read from trusted ones only, by the hub itself.
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m exai.web", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket, inherited")
    parser.add_argument("--parent-fd", type=int, help="a pipe whose end tells that the supervisor died")
    options = parser.parse_args()
    settings = hub_settings()
    configure_logs(settings)
    web = server(settings)
    if options.parent_fd is not None:
        when_parent_dies(options.parent_fd, lambda: web.handle_exit(signal.SIGTERM, None))
    # What is loaded by now stays: looking through it again and again would stop all calls for tens of milliseconds.
    gc.collect()
    gc.freeze()
    listener = socket.socket(fileno=options.fd)
    web.run(sockets=[listener])


if __name__ == "__main__":
    main()

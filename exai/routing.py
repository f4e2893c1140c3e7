"""Every WebSocket path of the hub."""

from typing import Any, cast

from channels.routing import URLRouter
from django.urls import re_path

from exai.gateway.consumer import ToolConsumer


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Before it is accepted, which the client sees as HTTP 403."""
    await receive()
    await send({"type": "websocket.close"})


# Clients of the predecessor connect to the root.
websocket_application = URLRouter(
    [
        re_path(r"^$", ToolConsumer.as_asgi()),
        re_path(r"^ws/tools/$", ToolConsumer.as_asgi()),
        # Without this, whoever asks for another path puts a traceback into the log.
        re_path("", cast(Any, _refuse)),
    ]
)

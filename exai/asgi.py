"""The ASGI application: HTTP by Django but for uploads, WebSockets by their own routes."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exai.settings.project")

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

_django = get_asgi_application()  # sets Django up: what follows imports models

from exai.api import uploads  # noqa: E402
from exai.api.bodies import bounded  # noqa: E402
from exai.routing import websocket_application  # noqa: E402

_pages = bounded(_django)


async def _http(scope: Any, receive: Any, send: Any) -> None:
    is_upload = scope["method"] == "POST" and scope["path"] in uploads.PATHS
    await (uploads.upload if is_upload else _pages)(scope, receive, send)


application = ProtocolTypeRouter({"http": _http, "websocket": websocket_application})

"""The ASGI application: HTTP by Django, WebSockets by their own routes."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exai.settings.project")

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

_http = get_asgi_application()  # sets Django up: what follows imports models

from exai.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": _http, "websocket": websocket_application})

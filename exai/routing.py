"""Every WebSocket path of the hub."""

from channels.routing import URLRouter
from django.urls import re_path

from exai.gateway.consumer import ToolConsumer

# Clients of the predecessor connect to the root.
websocket_application = URLRouter(
    [
        re_path(r"^$", ToolConsumer.as_asgi()),
        re_path(r"^ws/tools/$", ToolConsumer.as_asgi()),
    ]
)

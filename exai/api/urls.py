"""The paths below `/api/`."""

from django.urls import URLPattern, path, re_path

from exai.api import conversations, downloads, files
from exai.api.access import api
from exai.api.unknown import unknown
from exai.models import Scope

_CONVERSATION = "conversations/<str:continuation_id>/"

urlpatterns: list[URLPattern] = [
    path("files/", api(Scope.FILES, get=files.list_files)),  # its POST does not come here: exai.asgi
    path("files/<uuid:file_id>/", api(Scope.FILES, get=files.show_file, delete=files.delete_file)),
    path(
        "files/<uuid:file_id>/content",
        api(Scope.FILES, get=downloads.download_file, head=downloads.download_file),
    ),
    path("conversations/", api(Scope.TOOLS, get=conversations.listed)),
    path(
        _CONVERSATION,
        api(Scope.TOOLS, get=conversations.shown, delete=conversations.deleted, patch=conversations.renamed),
    ),
    path(f"{_CONVERSATION}messages", api(Scope.TOOLS, get=conversations.messages)),
    path(f"{_CONVERSATION}export", api(Scope.TOOLS, get=conversations.exported)),
    path(f"{_CONVERSATION}fork", api(Scope.TOOLS, post=conversations.forked)),
    path(f"{_CONVERSATION}restore", api(Scope.TOOLS, post=conversations.restored)),
    re_path("", unknown),
]

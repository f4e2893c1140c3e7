"""The paths below `/api/`."""

from django.urls import URLPattern, path, re_path

from exai.api import downloads, files
from exai.api.access import api
from exai.api.unknown import unknown
from exai.models import Scope

urlpatterns: list[URLPattern] = [
    path("files/", api(Scope.FILES, get=files.list_files)),  # its POST does not come here: exai.asgi
    path("files/<uuid:file_id>/", api(Scope.FILES, get=files.show_file, delete=files.delete_file)),
    path(
        "files/<uuid:file_id>/content",
        api(Scope.FILES, get=downloads.download_file, head=downloads.download_file),
    ),
    re_path("", unknown),
]

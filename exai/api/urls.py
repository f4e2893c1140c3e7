"""The paths below `/api/`."""

from django.urls import URLPattern, re_path

from exai.api.unknown import unknown

urlpatterns: list[URLPattern] = [
    re_path("", unknown),
]

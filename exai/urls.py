"""Every HTTP path of the hub."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from exai import health
from exai.landing import landing

urlpatterns: list[URLPattern | URLResolver] = [
    path("", landing, name="landing"),
    path("admin/", admin.site.urls),
    path("health/live", health.live),
    path("health/ready", health.ready),
]

"""Every HTTP path of the hub but the probes, which exai.health answers before anything looks at a request."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from exai import breakers_admin, connections_admin, usage_admin
from exai.landing import landing

urlpatterns: list[URLPattern | URLResolver] = [
    path("", landing, name="landing"),
    path("api/", include("exai.api.urls")),
    # Before the admin's own paths, which refuse what they do not know.
    path("admin/connections/", admin.site.admin_view(connections_admin.connections), name="connections"),
    path(
        "admin/connections/<slug:connection_id>/disconnect/",
        admin.site.admin_view(connections_admin.disconnect),
        name="disconnect",
    ),
    path(
        "admin/breakers/<slug:provider>/reset/",
        admin.site.admin_view(breakers_admin.reset_breaker),
        name="reset_breaker",
    ),
    path("admin/usage/", admin.site.admin_view(usage_admin.usage), name="usage"),
    path("admin/usage/export/", admin.site.admin_view(usage_admin.export), name="usage-export"),
    path("admin/", admin.site.urls),
]

"""Django's settings, derived from the hub's. DJANGO_SETTINGS_MODULE names this file."""

import secrets
import sys
from urllib.parse import urlsplit

from django.templatetags.static import static
from psycopg.conninfo import conninfo_to_dict

from exai.settings.file_storage import file_storage
from exai.settings.hub import hub_settings
from exai.settings.navigation import NAVIGATION
from exai.settings.server import PROJECT_DIR, ServerSettings

_hub = hub_settings()


def _secret_key(server: ServerSettings) -> str:
    """The configured key, else the kept one, else one for this process only: the hub makes its own before it starts."""
    if server.secret_key:
        return server.secret_key.get_secret_value()
    try:
        return server.secret_key_file.read_text()
    except OSError:
        return secrets.token_urlsafe(48)


_PAGE_CONNECTIONS = 10  # a process, for pages, the API and tasks; tool calls have theirs


def _database(url: str | None) -> dict[str, object]:
    if url is None:
        # Nothing answers: commands that need a database are given one (exai.embedded), the others never ask.
        return {"ENGINE": "django.db.backends.postgresql", "NAME": "exai", "HOST": "/nonexistent"}
    parts: dict[str, object] = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "exai"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        # A connection belongs to the thread that opened it, and under ASGI each request has one of its own.
        "OPTIONS": {**parts, "pool": {"min_size": 0, "max_size": _PAGE_CONNECTIONS, "timeout": 5.0}},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }


DEBUG = False
SECRET_KEY = _secret_key(_hub)
ALLOWED_HOSTS = _hub.accepted_hosts

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "exai",
    "conversations",
]
if "runserver" in sys.argv:
    # It replaces runserver with its own; in every other process it would only cost the memory of Twisted.
    INSTALLED_APPS.insert(0, "daphne")

MIDDLEWARE = [
    "exai.health.answer_probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "exai.urls"
ASGI_APPLICATION = "exai.asgi.application"

DATABASES = {"default": _database(_hub.database_url.get_secret_value() if _hub.database_url else None)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "admin:login"

USE_TZ = True
TIME_ZONE = _hub.time_zone
USE_I18N = False
FORMAT_MODULE_PATH = ["exai.formats"]

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "files": file_storage(_hub),
}

STATIC_URL = "/static/"
STATICFILES_DIRS = [PROJECT_DIR / "static"]
# Files are served from where they lie: no copy to keep fresh.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

_behind_tls = bool(_hub.public_url and urlsplit(_hub.public_url).scheme == "https")
CSRF_TRUSTED_ORIGINS = [f"{(_parts := urlsplit(_hub.public_url)).scheme}://{_parts.netloc}"] if _hub.public_url else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _behind_tls
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

UNFOLD = {
    "SITE_TITLE": "EXAI",
    "SITE_HEADER": "EXAI",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("exai/mark.svg")},
    ],
    "SIDEBAR": {"navigation": NAVIGATION},
    # The accent of static/exai/tokens.css, from light to dark.
    "COLORS": {
        "primary": {
            "50": "#edf2ff",
            "100": "#dbe4ff",
            "200": "#bac8ff",
            "300": "#8ea6ff",
            "400": "#748ffc",
            "500": "#5c7cfa",
            "600": "#3b5bdb",
            "700": "#364fc7",
            "800": "#2f44ad",
            "900": "#283a94",
            "950": "#1b2766",
        },
    },
}

# Django configures nothing: exai.logs does, once a process.
LOGGING_CONFIG = None

"""The keys of endpoints that are kept in the database."""

from django.conf import settings

from exai.logs import hide_from_logs
from exai.models import ProviderEndpoint
from exai.sealing import seal


def endpoint_set_key(*, endpoint: ProviderEndpoint, key: str) -> None:
    """Seals the key into the row, which is not saved; an empty one is taken out of it."""
    hide_from_logs([key])
    endpoint.sealed_key = seal(key, secret=settings.SECRET_KEY, endpoint=endpoint.name) if key else ""

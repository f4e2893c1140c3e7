"""What the Celery worker does for conversations."""

from celery import shared_task

from conversations.services import calls_remove_expired, conversations_remove_expired
from exai.settings.hub import hub_settings


@shared_task(name="conversations.remove_expired")
def remove_expired() -> None:
    """Removes what is kept longer than the settings say."""
    settings = hub_settings()
    if settings.conversation_retention_days:
        conversations_remove_expired(older_than_days=settings.conversation_retention_days)
    if settings.call_retention_days:
        calls_remove_expired(older_than_days=settings.call_retention_days)

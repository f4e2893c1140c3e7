"""A conversation as a download."""

from collections.abc import AsyncIterator, Iterator

from channels.db import database_sync_to_async
from django.http import StreamingHttpResponse

from conversations.exporting import ExportFormat, conversation_exported
from conversations.models import Conversation


def export_response(conversation: Conversation, format_: ExportFormat) -> StreamingHttpResponse:
    """The whole conversation, sent as it is read. Its name is letters, digits and `-`: nothing of a title is in it."""
    response = StreamingHttpResponse(
        _streamed(conversation_exported(conversation, format_)), content_type=format_.content_type
    )
    name = f"conversation-{conversation.continuation_id}.{format_.suffix}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


async def _streamed(pieces: Iterator[str]) -> AsyncIterator[bytes]:
    while (piece := await database_sync_to_async(next)(pieces, None)) is not None:
        yield piece.encode("utf-8", "replace")

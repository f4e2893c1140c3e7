"""Reading conversations."""

from conversations.models import Conversation, Message

MOST_A_PAGE = 500


def get_conversation_messages(
    conversation: Conversation, *, before: int | None = None, limit: int = 50
) -> list[Message]:
    """A page of messages, oldest first: the newest of the conversation, or the newest before a position.

    The next older page is that before the first message's position. Read by the index over (conversation, position),
    so that a page costs the same however much there is.
    """
    messages = Message.objects.filter(conversation=conversation)
    if before is not None:
        messages = messages.filter(position__lt=before)
    newest_first = messages.order_by("-position")[: max(1, min(limit, MOST_A_PAGE))]
    return list(reversed(newest_first))

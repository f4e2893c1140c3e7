"""Continuing a conversation: which one, whether it may go on, and the offer to go on from here."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from conversations.records import ConversationSoFar
from conversations.statements import load_conversation, load_steps
from exai.database import Database
from exai.gateway.checks import CheckedCall
from exai.protocol.errors import InvalidValue, NotFound
from exai.protocol.values import ContinuationOffer
from exai.settings.gateway import GatewaySettings
from exai.tools.base import Tool

_LOAD_PATIENCE_S = 2.0


class Continuation:
    def __init__(self, *, settings: GatewaySettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def wanted(self, checked: CheckedCall) -> UUID | None:
        """The conversation that a call wants to continue. Raises `NotFound` for what is no id."""
        wanted = checked.arguments.conversation_to_continue
        if not checked.tool.keeps_conversation or not wanted:
            return None
        try:
            return UUID(wanted)
        except ValueError:
            raise _not_found() from None

    async def load(self, continuation_id: UUID, *, workspace: str, tool: Tool[Any]) -> ConversationSoFar:
        """The conversation so far, with what it keeps of the tool; the caller must have it for itself alone.

        Raises `NotFound` (unknown, foreign or expired, in the same words), `InvalidValue` when it is full,
        `DatabaseAway`.
        """
        within_s = min(_LOAD_PATIENCE_S, self._settings.tool_timeout_secs)
        conversation = await load_conversation(
            self._database,
            continuation_id=continuation_id,
            workspace=workspace,
            expires_before=self._expires_before(),
            within_s=within_s,
        )
        if conversation is None or conversation.expired:
            raise _not_found()
        if len(conversation.turns) >= self._settings.max_conversation_turns:
            reason = f"the conversation has all its {self._settings.max_conversation_turns} turns"
            raise InvalidValue(
                f"This conversation is full: {reason}. Begin a new one by leaving continuation_id out.",
                continuation_id=reason,
            )
        if not tool.keeps_steps:
            return conversation
        steps, end = await load_steps(self._database, conversation.id, tool=tool.name, within_s=within_s)
        return replace(conversation, steps=steps, steps_end=end)

    def offer(self, continuation_id: UUID, turns: int) -> ContinuationOffer | None:
        """The offer to go on with a conversation of so many turns; None when it is full."""
        remaining = self._settings.max_conversation_turns - turns
        if remaining <= 0:
            return None
        more = "1 more turn" if remaining == 1 else f"{remaining} more turns"
        return ContinuationOffer(
            continuation_id=str(continuation_id),
            note=f"To go on, call any conversation tool with this continuation_id; {more} can follow.",
            remaining_turns=remaining,
        )

    def _expires_before(self) -> datetime | None:
        hours = self._settings.conversation_timeout_hours
        return datetime.now(UTC) - timedelta(hours=hours) if hours else None


def _not_found() -> NotFound:
    return NotFound(
        "There is no such conversation, or it has expired. Begin a new one by leaving continuation_id out.",
        continuation_id="not found",
    )

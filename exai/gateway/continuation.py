"""Continuing a conversation: finding it, having it alone for the length of a call, and offering to go on."""

import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

from conversations.records import ConversationSoFar
from conversations.statements import load_conversation
from exai.calls.conversation_turn import ConversationTurns
from exai.database import Database
from exai.gateway.checks import CheckedCall
from exai.gateway.running_call import RunningCall
from exai.protocol.errors import InvalidValue, NotFound
from exai.protocol.values import ContinuationOffer
from exai.settings.gateway import GatewaySettings

_LOAD_PATIENCE_S = 10.0


class Continuation:
    def __init__(self, *, settings: GatewaySettings, database: Database, turns: ConversationTurns) -> None:
        self._settings = settings
        self._database = database
        self._turns = turns

    async def take(self, call: RunningCall, checked: CheckedCall, held: AsyncExitStack) -> ConversationSoFar | None:
        """The conversation that the call continues, the caller's alone until `held` is closed; None for a new one.

        Raises `NotFound` (unknown, foreign or expired, in the same words), `InvalidValue` when it is full,
        `OverCapacity` when another call has it for too long, `DatabaseAway`.
        """
        wanted = checked.arguments.conversation_to_continue
        if not checked.tool.keeps_conversation or not wanted:
            return None
        try:
            continuation_id = UUID(wanted)
        except ValueError:
            raise _not_found() from None
        waiting_since = time.perf_counter()
        workspace = call.request.client.workspace
        await held.enter_async_context(
            # Named with the workspace: a foreign client that knows the id cannot hold it up.
            self._turns.turn(f"{workspace}:{continuation_id}", on_wait=call.wait_for_conversation)
        )
        call.queue_s = time.perf_counter() - waiting_since
        conversation = await load_conversation(
            self._database,
            continuation_id=continuation_id,
            workspace=workspace,
            expires_before=self._expires_before(),
            within_s=min(_LOAD_PATIENCE_S, self._settings.tool_timeout_secs),
        )
        if conversation is None or conversation.expired:
            raise _not_found()
        if len(conversation.turns) >= self._settings.max_conversation_turns:
            reason = f"the conversation has all its {self._settings.max_conversation_turns} turns"
            raise InvalidValue(
                f"This conversation is full: {reason}. Begin a new one by leaving continuation_id out.",
                continuation_id=reason,
            )
        return conversation

    def offer(self, continuation_id: UUID, turns_before: int) -> ContinuationOffer | None:
        """The offer that goes with the answer of one more turn; None when the conversation is full now."""
        remaining = self._settings.max_conversation_turns - turns_before - 1
        if remaining <= 0:
            return None
        turns = "1 more turn" if remaining == 1 else f"{remaining} more turns"
        return ContinuationOffer(
            continuation_id=str(continuation_id),
            note=f"To go on, call any conversation tool with this continuation_id; {turns} can follow.",
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

"""What the hot path reads and writes of a conversation, as values."""

import uuid
from datetime import datetime
from decimal import Decimal

import msgspec

from conversations.models import CallStatus
from exai.protocol.values import Turn, Usage
from exai.providers.budget import Charge
from exai.tools.steps import Step


class ConversationSoFar(msgspec.Struct, frozen=True):
    id: int
    continuation_id: uuid.UUID
    model: str  # of the last answer, as `provider/model`
    expired: bool
    turns: tuple[Turn, ...]
    steps: tuple[Step, ...] = ()  # of the workflow tool that was asked for
    steps_end: int = 0  # the position after the last step of any tool


class EndedCall(msgspec.Struct, kw_only=True):
    """One row of tool_calls. Times in UTC, durations in milliseconds."""

    id: uuid.UUID
    client_id: int
    workspace: str
    request_id: str
    tool: str
    status: CallStatus
    correlation_id: str
    started_at: datetime
    ended_at: datetime
    conversation_id: int | None = None
    model: str = ""
    provider: str = ""
    error_code: str = ""
    error_message: str = ""
    usage: Usage = Usage()
    cost: Decimal | None = None  # US dollars; None: unknown
    price_version: str = ""
    estimated: Charge | None = None  # what the vendor did not count
    excess: Charge | None = None  # beyond what was reserved of a budget
    queue_ms: float = 0.0
    provider_ms: float = 0.0
    total_ms: float = 0.0


class NewTurn(msgspec.Struct, kw_only=True):
    """What a call adds to a conversation: a turn, a workflow's step, or both. `conversation_id` None begins one of that
    `continuation_id`. `step_position`: where the steps ended that the step was taken upon."""

    conversation_id: int | None
    continuation_id: uuid.UUID
    turn: Turn | None
    model: str = ""  # that answered; empty: none, or several did
    provider: str = ""
    step: Step | None = None
    step_position: int = 0
    reasoning: str = ""

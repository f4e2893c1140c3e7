"""The few SQL statements of the hot path, beside the models that they serve."""

import asyncio
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg.errors

from conversations.models import ConversationDetails, MessageDetails, Role
from conversations.records import ConversationSoFar, EndedCall, NewTurn
from exai.database import Database
from exai.protocol.values import FileMention, Turn
from exai.providers.budget import Charge
from exai.tools.steps import Step

_LONGEST_TITLE = 80
_TRIES_FOR_A_POSITION = 5
_STEP_CONSTRAINT = "workflow_step_position_once"

_LOAD: LiteralString = """
SELECT c.id, c.model, c.updated_at, m.provider, m.role, m.content, m.metadata -> 'files'
FROM conversations c LEFT JOIN messages m ON m.conversation_id = c.id
WHERE c.continuation_id = %s AND c.workspace = %s AND c.deleted_at IS NULL
ORDER BY m.position
"""

_BEGIN: LiteralString = """
WITH conversation AS (
    INSERT INTO conversations
        (continuation_id, client_id, workspace, title, model, metadata, created_at, updated_at)
    VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s)
    RETURNING id, 0 AS next_position
)"""

# The position is found inside the statement: two turns at once cannot take the same one, the constraint sees to that.
_CONTINUE: LiteralString = """
WITH conversation AS (
    UPDATE conversations SET model = coalesce(nullif(%s, ''), model), updated_at = %s
    WHERE id = %s AND deleted_at IS NULL
    RETURNING id, (SELECT coalesce(max(position) + 1, 0) FROM messages WHERE conversation_id = conversations.id)
        AS next_position
)"""

_CALL_COLUMNS: LiteralString = """
    id, client_id, workspace, request_id, tool, model, provider, status, error_code, error_message,
    input_tokens, cached_tokens, reasoning_tokens, output_tokens, cost, price_version,
    queue_ms, provider_ms, total_ms, cached, correlation_id, started_at, ended_at,
    estimated_tokens, estimated_cost, excess_tokens, excess_cost, conversation_id
"""

_CALL_VALUES: LiteralString = """
    %s::uuid, %s::bigint, %s::text, %s::text, %s::text, %s::text, %s::text, %s::text, %s::text, %s::text,
    %s::integer, %s::integer, %s::integer, %s::integer, %s::numeric, %s::text,
    %s::float8, %s::float8, %s::float8, '', %s::text, %s::timestamptz, %s::timestamptz,
    %s::bigint, %s::numeric, %s::bigint, %s::numeric
"""

# A process that was taken for dead may live on: what it knows of its call outweighs the record that it was abandoned.
_OUTWEIGH: LiteralString = """
ON CONFLICT (id) DO UPDATE SET
    model = EXCLUDED.model, provider = EXCLUDED.provider, status = EXCLUDED.status,
    error_code = EXCLUDED.error_code, error_message = EXCLUDED.error_message,
    input_tokens = EXCLUDED.input_tokens, cached_tokens = EXCLUDED.cached_tokens,
    reasoning_tokens = EXCLUDED.reasoning_tokens, output_tokens = EXCLUDED.output_tokens,
    cost = EXCLUDED.cost, price_version = EXCLUDED.price_version,
    queue_ms = EXCLUDED.queue_ms, provider_ms = EXCLUDED.provider_ms, total_ms = EXCLUDED.total_ms,
    ended_at = EXCLUDED.ended_at, estimated_tokens = EXCLUDED.estimated_tokens,
    estimated_cost = EXCLUDED.estimated_cost, excess_tokens = EXCLUDED.excess_tokens,
    excess_cost = EXCLUDED.excess_cost, conversation_id = EXCLUDED.conversation_id
WHERE tool_calls.status = 'abandoned' AND (EXCLUDED.status <> 'abandoned' OR EXCLUDED.model <> '')
"""

# A file that was removed meanwhile is not linked; one that is about to be is held until the link is there.
_LINKED: LiteralString = """, used AS (
    SELECT id FROM files WHERE id = ANY(%s::uuid[]) AND workspace = %s FOR KEY SHARE
), linked AS (
    INSERT INTO conversation_files (conversation_id, file_id)
    SELECT conversation.id, used.id FROM conversation, used
    ON CONFLICT DO NOTHING
)"""

_SAID: LiteralString = """, said AS (
    INSERT INTO messages
        (conversation_id, position, role, content, model, provider, tokens, metadata, idempotency_key, created_at)
    SELECT conversation.id, conversation.next_position + turn.place, turn.role, turn.content, turn.model,
           turn.provider, turn.tokens, turn.metadata, turn.idempotency_key, turn.created_at
    FROM conversation, (VALUES
        (0, %s::text, %s::text, '', '', %s::integer, %s::jsonb, %s::text, %s::timestamptz),
        (1, %s::text, %s::text, %s::text, %s::text, %s::integer, %s::jsonb, %s::text, %s::timestamptz)
    ) AS turn(place, role, content, model, provider, tokens, metadata, idempotency_key, created_at)
)"""

# A step holds for what it was taken upon: had another process kept one since, its position is taken.
_STEPPED: LiteralString = """, stepped AS (
    INSERT INTO workflow_steps (conversation_id, position, tool, content, call_id, created_at)
    SELECT conversation.id, %s, %s, %s::jsonb, %s, %s FROM conversation
)"""

_CALLED: LiteralString = (
    " INSERT INTO tool_calls ("
    + _CALL_COLUMNS
    + ") SELECT "
    + _CALL_VALUES
    + ", conversation.id FROM conversation"
    + _OUTWEIGH
    + " RETURNING id"
)

_RECORD: LiteralString = (
    "INSERT INTO tool_calls ("
    + _CALL_COLUMNS
    + ") VALUES ("
    + _CALL_VALUES
    + ", (SELECT id FROM conversations WHERE id = %s))"
    + _OUTWEIGH
)

_IS_RECORDED: LiteralString = "SELECT 1 FROM tool_calls WHERE id = %s AND status = 'succeeded'"

_STEPS: LiteralString = """
SELECT position, CASE WHEN tool = %s THEN content END FROM workflow_steps
WHERE conversation_id = %s ORDER BY position
"""


async def load_conversation(
    database: Database, *, continuation_id: UUID, workspace: str, expires_before: datetime | None, within_s: float
) -> ConversationSoFar | None:
    """A conversation of the workspace with all its turns, oldest first; None when the workspace has none of that id.

    `expires_before`: one last used before then is `expired`; None: none is.
    """
    rows = await database.fetch(_LOAD, (continuation_id, workspace), within_s=within_s)
    if not rows:
        return None
    id_, model, updated_at = rows[0][:3]
    return ConversationSoFar(
        id=id_,
        continuation_id=continuation_id,
        model=_qualified(model, [provider for *_, provider, _, _, _ in rows if provider]),
        expired=expires_before is not None and updated_at < expires_before,
        turns=_turns([(role, content, files) for *_, role, content, files in rows]),
    )


async def load_steps(
    database: Database, conversation_id: int, *, tool: str, within_s: float
) -> tuple[tuple[Step, ...], int]:
    """All steps of a tool that a conversation keeps, in order, and the position after the last one of any tool.
    Raises `DatabaseAway`."""
    rows = await database.fetch(_STEPS, (tool, conversation_id), within_s=within_s)
    steps = tuple(msgspec.convert(content, Step) for _, content in rows if content is not None)
    return steps, rows[-1][0] + 1 if rows else 0


async def write_turn(database: Database, new: NewTurn, call: EndedCall, *, within_s: float) -> bool:
    """Writes a turn, a step or both, and their call record whole, or nothing; durable when it returns.

    False when the conversation is gone, or another step was taken since the one that this follows. Raises
    `DatabaseAway`. May be repeated: a call is written once.
    """
    statement, parameters = _adding(new, call)
    for attempt in range(_TRIES_FOR_A_POSITION):
        try:
            rows = await database.fetch(statement, parameters, within_s=within_s)
            return bool(rows)
        except psycopg.errors.UniqueViolation as violation:
            # Either this very call was written by a try whose answer got lost, or another process took the position.
            if await database.fetch(_IS_RECORDED, (call.id,), within_s=within_s):
                return True
            if violation.diag.constraint_name == _STEP_CONSTRAINT:
                return False
            if attempt == _TRIES_FOR_A_POSITION - 1:
                raise
            await asyncio.sleep(0.01 * (attempt + 1))
    raise AssertionError("the loop returns or raises")


async def record_call(database: Database, call: EndedCall, *, within_s: float) -> None:
    """Writes the record of a call that added no turn. Raises `DatabaseAway`. May be repeated."""
    await database.fetch(_RECORD, (*_call(call), call.conversation_id), within_s=within_s)


def _qualified(model: str, providers: list[str]) -> str:
    """The model with the provider of the last answer, since two providers may serve a model of one name."""
    return f"{providers[-1]}/{model}" if model and providers else model


def _turns(messages: list[tuple[str | None, str | None, Any]]) -> tuple[Turn, ...]:
    turns, said, sent_with = [], "", None
    for role, content, files in messages:
        if role == Role.USER:
            said, sent_with = content or "", files
        elif role == Role.ASSISTANT:
            mentions = msgspec.convert(sent_with or (), tuple[FileMention, ...])
            turns.append(Turn(user=said, assistant=content or "", files=mentions))
    return tuple(turns)


def _adding(new: NewTurn, call: EndedCall) -> tuple[LiteralString, tuple[Any, ...]]:
    """The statement that adds to a conversation what there is to add, and its parameters."""
    begins = new.conversation_id is None
    statement: LiteralString = _BEGIN if begins else _CONTINUE
    parameters = _begin(new, call) if begins else _continue(new, call)
    if files := _files(new):
        statement += _LINKED
        parameters += (files, call.workspace)
    if new.turn is not None:
        statement += _SAID
        parameters += _say(new, new.turn, call)
    if new.step is not None:
        statement += _STEPPED
        parameters += (new.step_position, call.tool, msgspec.json.encode(new.step).decode(), call.id, call.ended_at)
    return statement + _CALLED, parameters + _call(call)


def _begin(new: NewTurn, call: EndedCall) -> tuple[Any, ...]:
    said = new.step.text if new.step is not None else new.turn.user if new.turn is not None else ""
    first_line = said.strip().partition("\n")[0]
    title = first_line if len(first_line) <= _LONGEST_TITLE else first_line[: _LONGEST_TITLE - 1] + "…"
    details = _json(ConversationDetails(begun_by_tool=call.tool))
    return (
        *(new.continuation_id, call.client_id, call.workspace, title),
        *(new.model, details, call.ended_at, call.ended_at),
    )


def _continue(new: NewTurn, call: EndedCall) -> tuple[Any, ...]:
    # A step that asked no model, or several, leaves the conversation with its last one.
    return (new.model, call.ended_at, new.conversation_id)


def _files(new: NewTurn) -> list[UUID]:
    files = (*(new.turn.files if new.turn else ()), *(new.step.files if new.step else ()))
    return list({file.id for file in files})


def _say(new: NewTurn, turn: Turn, call: EndedCall) -> tuple[Any, ...]:
    asked = MessageDetails(tool=call.tool, call_id=str(call.id), files=turn.files)
    answered = MessageDetails(tool=call.tool, call_id=str(call.id), reasoning=new.reasoning)
    return (
        *(Role.USER.value, turn.user, None, _json(asked), f"{call.id}:user", call.ended_at),
        *(Role.ASSISTANT.value, turn.assistant, new.model, new.provider),
        *(call.usage.output_tokens, _json(answered), f"{call.id}:assistant", call.ended_at),
    )


def _call(call: EndedCall) -> tuple[Any, ...]:
    usage = call.usage
    return (
        *(call.id, call.client_id, call.workspace, call.request_id, call.tool, call.model, call.provider),
        *(call.status.value, call.error_code, call.error_message),
        *(usage.input_tokens, usage.cached_tokens, usage.reasoning_tokens, usage.output_tokens),
        *(call.cost, call.price_version),
        *(call.queue_ms, call.provider_ms, call.total_ms),
        *(call.correlation_id, call.started_at, call.ended_at),
        *_charge(call.estimated),
        *_charge(call.excess),
    )


def _charge(charge: Charge | None) -> tuple[Any, ...]:
    return (None, None) if charge is None else (charge.tokens, charge.cost)


def _json(details: msgspec.Struct) -> str:
    return msgspec.json.encode(details).decode()

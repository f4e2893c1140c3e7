"""The statements of the hot path where two writers meet."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import psycopg.errors
import pytest

from conversations.models import CallStatus
from conversations.records import EndedCall, NewTurn
from conversations.statements import load_steps, record_call, write_turn
from exai.database import Database, DatabaseAway
from exai.protocol.values import Turn, Usage
from exai.providers.budget import Charge
from exai.tools.steps import Step
from tests.conftest import MakeClient

_PATIENCE_S = 10.0


@pytest.fixture
async def hot_path(hub_database_url: str) -> AsyncIterator[Database]:
    database = Database(hub_database_url, pool_size=2)
    yield database
    await database.close()


def _ended(client_id: int, name: str, status: CallStatus) -> EndedCall:
    now = datetime.now(UTC)
    return EndedCall(
        id=uuid.uuid4(),
        client_id=client_id,
        workspace=name,
        request_id="1",
        tool="chat",
        status=status,
        correlation_id="c",
        started_at=now,
        ended_at=now,
    )


def _status(database: psycopg.Connection, call: EndedCall) -> str:
    row = database.execute("SELECT status FROM tool_calls WHERE id = %s", (call.id,)).fetchone()
    assert row is not None
    return str(row[0])


def _client(database: psycopg.Connection, make_client: MakeClient) -> tuple[int, str]:
    name, _ = make_client()
    row = database.execute("SELECT id FROM clients WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return int(row[0]), name


async def test_an_answer_outweighs_the_record_that_its_call_was_abandoned(
    hot_path: Database, database: psycopg.Connection, make_client: MakeClient
) -> None:
    # A process that was taken for dead was only slow.
    call = _ended(*_client(database, make_client), CallStatus.ABANDONED)
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    call.status = CallStatus.SUCCEEDED
    turn = NewTurn(
        conversation_id=None,
        continuation_id=uuid.uuid4(),
        turn=Turn(user="Hi", assistant="Hello"),
        reasoning="",
    )
    assert await write_turn(hot_path, turn, call, within_s=_PATIENCE_S)
    assert _status(database, call) == "succeeded"


async def test_what_a_call_used_outweighs_the_record_that_it_was_abandoned(
    hot_path: Database, database: psycopg.Connection, make_client: MakeClient
) -> None:
    call = _ended(*_client(database, make_client), CallStatus.ABANDONED)
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    call.status, call.error_code = CallStatus.FAILED, "PROVIDER_ERROR"
    call.model, call.usage, call.estimated = "m", Usage(10), Charge(5, None)
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    call.status, call.model, call.usage, call.estimated = CallStatus.ABANDONED, "", Usage(), None
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    row = database.execute(
        "SELECT status, error_code, model, input_tokens, estimated_tokens FROM tool_calls WHERE id = %s", (call.id,)
    ).fetchone()
    assert row == ("failed", "PROVIDER_ERROR", "m", 10, 5)


async def test_the_record_that_a_call_was_abandoned_never_replaces_its_answer(
    hot_path: Database, database: psycopg.Connection, make_client: MakeClient
) -> None:
    call = _ended(*_client(database, make_client), CallStatus.SUCCEEDED)
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    call.status = CallStatus.ABANDONED
    await record_call(hot_path, call, within_s=_PATIENCE_S)
    assert _status(database, call) == "succeeded"


async def test_of_two_steps_that_follow_the_same_one_the_first_is_kept(
    hot_path: Database, database: psycopg.Connection, make_client: MakeClient
) -> None:
    # As two processes would that cannot hear of each other.
    client_id, name = _client(database, make_client)

    async def take(number: int, text: str, *, conversation_id: int | None, position: int) -> bool:
        call = _ended(client_id, name, CallStatus.SUCCEEDED)
        step = Step(number=number, total=3, text=text)
        new = NewTurn(
            conversation_id=conversation_id,
            continuation_id=continuation_id,
            turn=None,
            step=step,
            step_position=position,
        )
        kept = await write_turn(hot_path, new, call, within_s=_PATIENCE_S)
        assert await write_turn(hot_path, new, call, within_s=_PATIENCE_S) is kept  # by a try whose answer got lost
        return kept

    continuation_id = uuid.uuid4()
    assert await take(1, "begun", conversation_id=None, position=0)
    [(id_,)] = database.execute(
        "SELECT id FROM conversations WHERE continuation_id = %s", (continuation_id,)
    ).fetchall()
    assert await take(2, "kept", conversation_id=id_, position=1)
    assert not await take(2, "too late", conversation_id=id_, position=1)
    steps, end = await load_steps(hot_path, id_, tool="chat", within_s=_PATIENCE_S)
    assert ([step.text for step in steps], end) == (["begun", "kept"], 2)
    assert await load_steps(hot_path, id_, tool="debug", within_s=_PATIENCE_S) == ((), 2)


async def test_a_statement_that_was_cancelled_does_not_mean_that_the_database_is_away(hot_path: Database) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        await hot_path.fetch("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1)", within_s=5)
    assert not hot_path.away


async def test_a_database_that_cannot_be_reached_is_away(tmp_path: object) -> None:
    nowhere = Database(f"postgresql:///exai?host={tmp_path}", pool_size=1)
    try:
        with pytest.raises(DatabaseAway):
            await nowhere.fetch("SELECT 1", within_s=0.2)
        assert nowhere.away
    finally:
        await nowhere.close()

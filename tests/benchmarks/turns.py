"""What it costs the statement that writes a turn that its messages are noted for the search."""

import asyncio
import statistics
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db.models import Q

from conversations.models import CallStatus, Conversation
from conversations.records import EndedCall, NewTurn
from conversations.statements import write_turn
from exai.database import Database
from exai.protocol.values import Turn

_BLOCKS = 12
_TURNS = 60  # a block
_WARMING = 5
_TURN = Turn(user="What does a circuit breaker do? " * 10, assistant="It opens when calls keep failing. " * 40)


def measure_turns(url: str, workspace: str) -> list[dict[str, Any]]:
    """The medians in milliseconds, with and without the trigger, by turns."""
    taken: dict[str, list[float]] = {"hub": [], "baseline": []}
    begun = Q(created_at__gte=datetime.now(UTC), workspace=workspace)
    with psycopg.connect(url, autocommit=True) as database:
        ((client_id,),) = database.execute("SELECT id FROM clients WHERE workspace = %s", (workspace,)).fetchall()
        for block in range(_BLOCKS):
            side = "hub" if block % 2 else "baseline"
            database.execute(
                f"ALTER TABLE messages {'ENABLE' if side == 'hub' else 'DISABLE'} TRIGGER message_words_added"
            )
            taken[side] += asyncio.run(_write(url, client_id, workspace))
    # What is searched stays what it was.
    Conversation.objects.filter(begun).delete()
    with_it, without = (statistics.median(taken[side]) for side in ("hub", "baseline"))
    return [
        {"figure": "turn_p50", "side": "hub", "ms": with_it},
        {"figure": "turn_p50", "side": "baseline", "ms": without},
        {"figure": "turn_added", "side": "hub", "ms": with_it - without},
    ]


async def _write(url: str, client_id: int, workspace: str) -> list[float]:
    database = Database(url, pool_size=1)
    taken = []
    for number in range(_WARMING + _TURNS):
        now = datetime.now(UTC)
        call = EndedCall(
            id=uuid.uuid4(),
            client_id=client_id,
            workspace=workspace,
            request_id="1",
            tool="chat",
            status=CallStatus.SUCCEEDED,
            correlation_id="c",
            started_at=now,
            ended_at=now,
        )
        turn = NewTurn(conversation_id=None, continuation_id=uuid.uuid4(), turn=_TURN, reasoning="")
        began = time.perf_counter()
        await write_turn(database, turn, call, within_s=30)
        if number >= _WARMING:
            taken.append((time.perf_counter() - began) * 1000)
    await database.close()
    return taken

"""The names of what calls keep in Redis. Those that only the scripts use stand in lua/slots.lua and lua/state.lua."""

import hashlib
from datetime import datetime

import msgspec

PREFIX = "exai:"
GLOBAL_SLOTS = PREFIX + "slots:global"
PROCESSES = PREFIX + "processes"

_sorted = msgspec.json.Encoder(order="deterministic")


def session_slots(session: str) -> str:
    return f"{PREFIX}slots:session:{session}"


def client_slots(client: str) -> str:
    return f"{PREFIX}slots:client:{client}"


def provider_slots(provider: str) -> str:
    return f"{PREFIX}slots:provider:{provider}"


def waiting(pool: str) -> str:
    """Who waits for a slot of the pool."""
    return f"{pool}:waiting"


def held_ms(pool: str) -> str:
    """For how long a slot of the pool was held lately."""
    return f"{pool}:held_ms"


def control_channel(process: str) -> str:
    return f"{PREFIX}process:{process}"


def running_calls(process: str) -> str:
    return f"{PREFIX}running:{process}"


def call_state(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}"


def call_frames(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}:frames"


def named_call(session: str, request_id: str | int) -> str:
    """The call that a session, named with its client, means by a request_id: sessions of a client may count alike."""
    return f"{PREFIX}named:{_digest([session, request_id])}"


def repeated_call(client: str, request_id: str | int, tool: str, arguments: object) -> str:
    """The call that a repeat of the same request means, in whichever session."""
    return f"{PREFIX}repeat:{client}:{_digest([request_id, tool, arguments])}"


def asked_call(client: str, session: str, tool: str, arguments: object) -> str:
    """The last call of a session that asked just this, under whatever request_id."""
    return f"{PREFIX}asked:{client}:{_digest([session, tool, arguments])}"


def conversation_turn(workspace: str, continuation_id: str) -> str:
    # Named with the workspace: a foreign client that knows the id cannot hold a conversation up.
    return f"{PREFIX}conversation-turn:{workspace}:{continuation_id}"


def address_connections(address: str) -> str:
    return f"{PREFIX}connections:{address}"


def budget_account(subject: str, period: str, begins: datetime) -> str:
    return f"{PREFIX}budget:{subject}:{period}:{begins:%Y-%m-%d}"


def budget_held(account: str) -> str:
    return f"{account}:held"


def budget_filling(account: str) -> str:
    return f"{account}:filling"


def _digest(value: object) -> str:
    return hashlib.blake2b(_sorted.encode(value), digest_size=16).hexdigest()

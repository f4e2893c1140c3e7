"""How calls enter: tokens, frames, heartbeats, timeouts, conversations."""

from pydantic import BaseModel, Field, SecretStr

from exai.settings.values import Seconds


class GatewaySettings(BaseModel):
    ws_token: SecretStr | None = Field(
        None,
        min_length=8,
        validation_alias="EXAI_WS_TOKEN",
        description="Token of a client named `env`, for set-ups that hand tokens out by environment. "
        "32 characters or more are advised.",
    )
    ws_max_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024,
        validation_alias="EXAI_WS_MAX_BYTES",
        description="Largest frame, in bytes; a larger one closes the connection with 1009.",
    )
    tool_call_max_size: int = Field(
        10 * 1024 * 1024,
        ge=1024,
        validation_alias="TOOL_CALL_MAX_SIZE",
        description="Largest arguments of a call, in bytes of JSON.",
    )
    ws_ping_interval: Seconds = Field(
        30,
        validation_alias="EXAI_WS_PING_INTERVAL",
        description="WebSocket ping to every connection, in seconds.",
    )
    ws_ping_timeout: Seconds = Field(
        30,
        validation_alias="EXAI_WS_PING_TIMEOUT",
        description="A connection that does not answer a ping for so long is dead, in seconds.",
    )
    ws_hello_timeout: Seconds = Field(
        15,
        validation_alias="EXAI_WS_HELLO_TIMEOUT",
        description="Time for the first frame, in seconds.",
    )
    ws_progress_interval_secs: Seconds = Field(
        5,
        validation_alias="EXAI_WS_PROGRESS_INTERVAL_SECS",
        description="A running call shows a sign of life so often, in seconds.",
    )
    tool_timeout_secs: Seconds = Field(
        300,
        validation_alias="EXAI_TOOL_TIMEOUT_SECS",
        description="Time for one call, waiting not counted, in seconds.",
    )
    max_conversation_turns: int = Field(
        20,
        ge=1,
        le=10_000,
        validation_alias="MAX_CONVERSATION_TURNS",
        description="Turns that a conversation holds; a turn is one user message and its answer.",
    )
    conversation_timeout_hours: float = Field(
        24,
        ge=0,
        le=876_000,
        validation_alias="CONVERSATION_TIMEOUT_HOURS",
        description="A conversation unused for so long cannot be continued; 0 = never ends.",
    )
    capacity_wait_secs: Seconds = Field(
        30,
        validation_alias="EXAI_CAPACITY_WAIT_SECS",
        description="How long a call waits for its turn, in seconds; then it is refused with OVER_CAPACITY.",
    )
    max_waiting: int = Field(
        1024,
        ge=1,
        validation_alias="EXAI_MAX_WAITING",
        description="Calls that may wait for their turn at once, a quarter of them of one session; one more is refused "
        "with OVER_CAPACITY.",
    )
    slot_lease_secs: float = Field(
        8,
        ge=0.2,
        le=60,
        validation_alias="EXAI_SLOT_LEASE_SECS",
        description="What a process held is free so long after its death, in seconds.",
    )
    result_ttl: Seconds = Field(
        600,
        validation_alias="EXAI_WS_RESULT_TTL",
        description="How long the result of a call is kept for a repeat or a resume, in seconds.",
    )
    call_state_max_mb: int = Field(
        512,
        ge=1,
        validation_alias="EXAI_CALL_STATE_MAX_MB",
        description="Most that is kept of calls in Redis, in MiB; the oldest delivered ones go first.",
    )
    global_max_inflight: int = Field(
        256,
        ge=1,
        validation_alias="EXAI_WS_GLOBAL_MAX_INFLIGHT",
        description="Calls in flight in all.",
    )
    session_max_inflight: int = Field(
        16,
        ge=1,
        validation_alias="EXAI_WS_SESSION_MAX_INFLIGHT",
        description="Calls in flight of one session.",
    )
    rate_limit_global_capacity: int = Field(
        10_000,
        ge=1,
        validation_alias="RATE_LIMIT_GLOBAL_CAPACITY",
        description="Frames of all clients, at once.",
    )
    rate_limit_global_refill_rate: int = Field(
        5_000,
        ge=1,
        validation_alias="RATE_LIMIT_GLOBAL_REFILL_RATE",
        description="Frames of all clients, a second.",
    )
    rate_limit_ip_capacity: int = Field(
        400,
        ge=1,
        validation_alias="RATE_LIMIT_IP_CAPACITY",
        description="Frames of one address; loopback is exempt, at once.",
    )
    rate_limit_ip_refill_rate: int = Field(
        200,
        ge=1,
        validation_alias="RATE_LIMIT_IP_REFILL_RATE",
        description="Frames of one address; loopback is exempt, a second.",
    )
    rate_limit_user_capacity: int = Field(
        100,
        ge=1,
        validation_alias="RATE_LIMIT_USER_CAPACITY",
        description="Frames of one session, at once.",
    )
    rate_limit_user_refill_rate: int = Field(
        50,
        ge=1,
        validation_alias="RATE_LIMIT_USER_REFILL_RATE",
        description="Frames of one session, a second.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        validation_alias="MAX_CONNECTIONS",
        description="Connections in all; one more is closed with 1008.",
    )
    max_connections_per_ip: int = Field(
        50,
        ge=1,
        validation_alias="MAX_CONNECTIONS_PER_IP",
        description="Connections of one address; loopback is exempt.",
    )

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

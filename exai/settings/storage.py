"""PostgreSQL, Redis, and how long things are kept."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from exai.settings.values import CommaSeparated, PostgresqlUrl, RedisUrl


def _file_roots(roots: tuple[str, ...]) -> tuple[str, ...]:
    for root in roots:
        parts = [part for part in root.split("/") if part]
        # Of the kernel's folders a client would read the hub's own environment, with all secrets in it.
        if not root.startswith("/") or not parts or ".." in parts or parts[0] in {"proc", "sys", "dev"}:
            raise ValueError(
                'should be absolute paths of folders, without "..", and neither / nor under /proc, /sys, /dev'
            )
    return roots


class StorageSettings(BaseModel):
    database_url: PostgresqlUrl | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL 16 or later. By default one is started under `EXAI_DATA_DIR`.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="Redis or Valkey 7 or later. By default one is started under `EXAI_DATA_DIR`.",
    )
    database_pool_size: int = Field(
        10,
        ge=1,
        le=200,
        validation_alias="EXAI_DATABASE_POOL_SIZE",
        description="Connections to PostgreSQL that a web process keeps for tool calls, at most.",
    )
    conversation_retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        validation_alias="EXAI_CONVERSATION_RETENTION_DAYS",
        description="Conversations unused for longer are removed; 0 keeps them for ever.",
    )
    call_retention_days: int = Field(
        400,
        ge=0,
        le=36_500,
        validation_alias="EXAI_CALL_RETENTION_DAYS",
        description="Call records older than this are removed; 0 keeps them for ever.",
    )
    file_roots: Annotated[CommaSeparated, AfterValidator(_file_roots)] = Field(
        (),
        validation_alias="EXAI_FILE_ROOTS",
        description="Folders on the hub's machine whose files clients may name by path, for example `/srv/projects`. "
        "By default clients upload files instead.",
    )

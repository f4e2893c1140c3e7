"""PostgreSQL, Redis, files, and how long things are kept."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from exai.settings.values import CommaSeparated, HttpUrl, PostgresqlUrl, RedisUrl


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
    bin_days: int = Field(
        7,
        ge=0,
        le=36_500,
        validation_alias="EXAI_BIN_DAYS",
        description="Deleted conversations can be restored for so many days; then they are removed for good.",
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
        "By default clients upload files instead. `EXAI_DATA_DIR` and `.env` stay closed, wherever they lie.",
    )
    max_file_bytes: int = Field(
        100 * 1024 * 1024,
        ge=1,
        validation_alias="EXAI_MAX_FILE_BYTES",
        description="Largest upload, in bytes.",
    )
    workspace_max_files: int = Field(
        10_000,
        ge=0,
        validation_alias="EXAI_WORKSPACE_MAX_FILES",
        description="Files of one workspace, at most; 0 = no limit.",
    )
    workspace_max_mb: int = Field(
        10_240,
        ge=0,
        validation_alias="EXAI_WORKSPACE_MAX_MB",
        description="Size of all files of one workspace, in MiB; 0 = no limit.",
    )
    file_grace_hours: float = Field(
        24,
        ge=0,
        le=876_000,
        validation_alias="EXAI_FILE_GRACE_HOURS",
        description="A file that no conversation uses is removed so long after it was stored or last used, in hours.",
    )
    vendor_file_hours: float = Field(
        168,
        gt=0,
        le=876_000,
        validation_alias="EXAI_VENDOR_FILE_HOURS",
        description="A vendor's copy of a file is used for so long, then made anew, in hours. Vendors do not say how "
        "long they keep one.",
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias="EXAI_S3_BUCKET",
        description="Bucket of an S3-compatible store that holds the files. By default they lie under `EXAI_DATA_DIR`.",
    )
    s3_endpoint: HttpUrl | None = Field(
        None,
        validation_alias="EXAI_S3_ENDPOINT",
        description="Address of that store; by default that of AWS.",
    )
    s3_region: str | None = Field(
        None,
        validation_alias="EXAI_S3_REGION",
        description="Region of the bucket.",
    )
    s3_access_key: SecretStr | None = Field(
        None,
        validation_alias="EXAI_S3_ACCESS_KEY",
        description="Id of the key for the bucket; without one, that of the machine's role.",
    )
    s3_secret_key: SecretStr | None = Field(
        None,
        validation_alias="EXAI_S3_SECRET_KEY",
        description="The key itself.",
    )
    s3_prefix: str = Field(
        "",
        validation_alias="EXAI_S3_PREFIX",
        description="What the names of the hub's objects in the bucket begin with, such as `exai/`.",
    )

    @model_validator(mode="after")
    def _bucket_is_whole(self) -> Self:
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("EXAI_S3_ACCESS_KEY and EXAI_S3_SECRET_KEY belong together: set both or none")
        if self.s3_bucket is None and (self.s3_endpoint or self.s3_access_key or self.s3_prefix or self.s3_region):
            raise ValueError("EXAI_S3_BUCKET is missing: the other settings of the store need it")
        return self

"""Which vendors and endpoints answer, with which keys."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from exai.settings.catalogue_file import ModelAbilities, check_catalogue
from exai.settings.server import below_project
from exai.settings.values import ApiKey, HttpUrl, Json, Seconds

_RESERVED_NAMES = {"kimi", "glm", "exai"}


class EndpointModel(ModelAbilities):
    id: str = Field(min_length=1, max_length=200)
    context: int = Field(8192, ge=256, description="Tokens of context.")
    output: int | None = Field(None, ge=1, description="Most tokens of an answer; unknown when absent.")


class Endpoint(BaseModel):
    """One OpenAI-compatible endpoint: Ollama, vLLM, llama.cpp, OpenRouter, LiteLLM, …"""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=40)
    url: HttpUrl
    key: ApiKey = SecretStr("")
    models: tuple[EndpointModel, ...] = Field(min_length=1)
    max_inflight: int = Field(64, ge=1, description="Requests in flight, in all processes.")

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_models(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return [{"id": model} if isinstance(model, str) else model for model in value]
        return value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
            raise ValueError("should be lower-case letters, digits, - and _")
        if value in _RESERVED_NAMES:
            raise ValueError(f"{value} is the name of a built-in provider; choose another")
        return value


class ProviderSettings(BaseModel):
    kimi_api_key: ApiKey | None = Field(
        None,
        validation_alias=AliasChoices("MOONSHOT_API_KEY", "KIMI_API_KEY"),
        description="Key for Kimi (Moonshot); without one Kimi is not offered.",
    )
    kimi_max_inflight: int = Field(
        32,
        ge=1,
        validation_alias="EXAI_WS_KIMI_MAX_INFLIGHT",
        description="Requests to Kimi in flight, in all processes.",
    )
    kimi_api_url: HttpUrl = Field(
        "https://api.moonshot.ai/v1",
        validation_alias="KIMI_API_URL",
        description="Base URL of Kimi.",
    )
    glm_api_key: ApiKey | None = Field(
        None,
        validation_alias=AliasChoices("ZAI_API_KEY", "GLM_API_KEY", "ZHIPUAI_API_KEY"),
        description="Key for GLM (Z.ai); without one GLM is not offered.",
    )
    glm_max_inflight: int = Field(
        32,
        ge=1,
        validation_alias="EXAI_WS_GLM_MAX_INFLIGHT",
        description="Requests to GLM in flight, in all processes.",
    )
    glm_api_url: HttpUrl = Field(
        "https://api.z.ai/api/paas/v4",
        validation_alias="GLM_API_URL",
        description="Base URL of GLM.",
    )
    endpoints: Annotated[tuple[Endpoint, ...], Json] = Field(
        (),
        validation_alias="EXAI_ENDPOINTS",
        description="More OpenAI-compatible endpoints, as a JSON list: "
        '`[{"name":"ollama","url":"http://127.0.0.1:11434/v1","key":"","models":["llama3.3"]}]`; '
        'an endpoint may have `"max_inflight"` (64), a model may also be `{"id","context","output","aliases","vision",'
        '"thinking","tools","web_search","price","timeout_factor"}`, a price `{"input","output","cached","version"}` '
        "in US dollars per million tokens.",
    )
    catalogue_file: Annotated[Path, AfterValidator(below_project), AfterValidator(check_catalogue)] | None = Field(
        None,
        validation_alias="EXAI_CATALOGUE_FILE",
        description="JSON file of models that are added to the built-in catalogue, or replace entries of it; "
        "a relative one lies in the project folder.",
    )
    connect_timeout_secs: Seconds = Field(
        5,
        validation_alias="EXAI_CONNECT_TIMEOUT_SECS",
        description="Time to connect to a vendor, in seconds.",
    )
    read_timeout_secs: Seconds = Field(
        60,
        validation_alias="EXAI_READ_TIMEOUT_SECS",
        description="Longest silence of a vendor, before its first byte and between bytes, in seconds.",
    )
    provider_retries: int = Field(
        2,
        ge=0,
        le=5,
        validation_alias="EXAI_PROVIDER_RETRIES",
        description="How often a request that failed before its first word is made again: lost connections, "
        "408, 429, 500-504.",
    )
    breaker_open_secs: float = Field(
        30,
        ge=0,
        le=3600,
        validation_alias="EXAI_BREAKER_OPEN_SECS",
        description="How long a provider is left alone that failed 5 times in a row, or more than half of its last "
        "20 calls within 60 seconds; in seconds; 0 = never.",
    )

    discovery_secs: float = Field(
        600,
        ge=0,
        le=86_400,
        validation_alias="EXAI_DISCOVERY_SECS",
        description="How often endpoints are asked which models they offer, in seconds; 0: never.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [endpoint.name for endpoint in self.endpoints]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"EXAI_ENDPOINTS names {', '.join(repeated)} more than once; each needs its own name")
        return self

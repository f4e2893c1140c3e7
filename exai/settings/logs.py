"""How much is logged, and in which form."""

from typing import Literal

from pydantic import BaseModel, Field


class LogSettings(BaseModel):
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias="EXAI_LOG_LEVEL",
        description="The least severe lines that are written.",
    )
    log_format: Literal["json", "text"] = Field(
        "json",
        validation_alias="EXAI_LOG_FORMAT",
        description="JSON lines, or text for reading along.",
    )

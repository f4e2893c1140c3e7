"""Arguments of the tools that speak a vendor's own language."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from exai.tools.base import ToolInput

# No further than the first wrong item: millions of them must not cost seconds of the event loop.
Names = Annotated[list[str], Field(fail_fast=True)]
Objects = Annotated[list[dict[str, Any]], Field(fail_fast=True)]
Messages = Annotated[list[str | dict[str, Any]], Field(fail_fast=True)]


class VendorInput(ToolInput):
    """A field of null takes its default."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}

"""Arguments of the tools that speak a vendor's own language."""

from typing import Any

from pydantic import model_validator

from exai.tools.base import ToolInput


class VendorInput(ToolInput):
    """A field of null takes its default."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}

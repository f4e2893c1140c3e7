"""The tools as `list_tools` gives them."""

from functools import lru_cache

import msgspec

from exai.protocol.frames import ToolDescription
from exai.tools.input_schema import input_schema
from exai.tools.table import TOOLS_BY_NAME


@lru_cache(maxsize=64)
def tool_catalogue(names: tuple[str, ...]) -> msgspec.Raw:
    """JSON, made once a set of names: to describe all tools takes milliseconds."""
    tools = [TOOLS_BY_NAME[name] for name in names]
    return msgspec.Raw(
        msgspec.json.encode(
            [ToolDescription(tool.name, tool.description, input_schema(tool.input_model)) for tool in tools]
        )
    )

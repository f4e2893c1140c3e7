"""version: which hub this is."""

import platform

from pydantic import Field

from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.version import PROTOCOL_VERSION, VERSION


class VersionInput(ToolInput):
    model: str | None = Field(None, description="Ignored.")


class Version(Tool[VersionInput]):
    name = "version"
    description = "The hub's name and version."
    input_model = VersionInput

    async def run(self, arguments: VersionInput, context: ToolContext) -> ToolAnswer:
        return plain_json(
            {
                "name": "EXAI",
                "version": VERSION,
                "protocol": PROTOCOL_VERSION,
                "python": platform.python_version(),
                "started_at": context.hub.started_at.isoformat(),
            }
        )

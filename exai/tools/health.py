"""health: whether each component of the hub answers."""

from pydantic import Field

from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.tools.status import MOST_FAILURES


class HealthInput(ToolInput):
    tail_lines: int | None = Field(50, description="How many of the last hour's failed calls to show.")


class Health(Tool[HealthInput]):
    name = "health"
    description = "Whether the hub's components (database, Redis, …) answer, and how fast."
    input_model = HealthInput

    async def run(self, arguments: HealthInput, context: ToolContext) -> ToolAnswer:
        components = await context.hub.components()
        failures = await context.hub.recent_failures(
            workspace=context.caller.workspace, most=max(0, min(arguments.tail_lines or 0, MOST_FAILURES))
        )
        ok = all(component["status"] == "ok" for component in components.values())
        return plain_json({"ok": ok, "components": components, "failures_last_hour": failures})

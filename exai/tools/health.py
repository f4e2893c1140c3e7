"""health: whether each component of the hub answers."""

from pydantic import Field

from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.tools.status import breakers, failures_if_known, failures_to_show

_DEFAULT_FAILURES = 50


class HealthInput(ToolInput):
    tail_lines: int | None = Field(_DEFAULT_FAILURES, description="How many of the last hour's failed calls to show.")


class Health(Tool[HealthInput]):
    name = "health"
    description = "Whether the hub's components (database, Redis, …) answer, and how fast."
    input_model = HealthInput

    async def run(self, arguments: HealthInput, context: ToolContext) -> ToolAnswer:
        components = await context.hub.components()
        most = failures_to_show(arguments.tail_lines, _DEFAULT_FAILURES)
        failures = await failures_if_known(context, most=most, components=components)
        ok = all(component["status"] == "ok" for component in components.values())
        return plain_json(
            {
                "ok": ok,
                "components": components,
                "breakers": breakers(context.registry),
                "failures_last_hour": failures,
            }
        )

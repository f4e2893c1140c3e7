"""self-check: is everything there that a call of this client needs?"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from exai.providers.registry import Registry
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import Caller, ToolContext
from exai.tools.hub import Check
from exai.tools.status import breakers, failures_if_known

_WORST_FIRST = ("fail", "warn", "ok")


class SelfCheckInput(ToolInput):
    model_config = ConfigDict(extra="ignore")

    log_lines: Annotated[int, Field(ge=0, le=500)] | None = Field(
        None, description="Also show so many of the last hour's failed calls."
    )


class SelfCheck(Tool[SelfCheckInput]):
    name = "self-check"
    description = (
        "Try what calls need: database, Redis, file store, reading of files, disk, providers, your token's scopes; "
        "each ok, warn or fail, with what to do."
    )
    input_model = SelfCheckInput

    async def run(self, arguments: SelfCheckInput, context: ToolContext) -> ToolAnswer:
        checks = await all_checks(context)
        content: dict[str, Any] = {"status": _worst(checks), "checks": checks}
        if arguments.log_lines:
            away = any(check.name == "database" and check.status == "fail" for check in checks)
            content["failures_last_hour"] = None if away else await failures_if_known(context, most=arguments.log_lines)
        return plain_json(content)


async def all_checks(context: ToolContext) -> Sequence[Check]:
    return (*await context.hub.checks(), *_of_providers(context.registry), _of_scopes(context.caller))


def _of_providers(registry: Registry) -> Iterable[Check]:
    real = [provider for provider in registry.providers if not provider.is_test]
    if not real:
        yield Check(
            "providers",
            "warn",
            "No vendor is configured: only the test model answers.",
            "Enter a key in the admin under Endpoints, or set MOONSHOT_API_KEY or ZAI_API_KEY.",
        )
    states = breakers(registry)
    for provider in real:
        state, name = states[provider.name], f"provider {provider.name}"
        if state["state"] == "open":
            said = f"It failed too often and is left alone for {state['retry_after_s']:.0f} s more."
            yield Check(name, "fail", said, "Name a model of another provider until then; an operator sees why.")
        elif state["state"] == "half-open":
            yield Check(name, "warn", "It failed lately; the next call tries it.", "Call it, or wait a minute.")
        else:
            yield Check(name, "ok", f"{len(provider.models)} models; it is not left alone.")
    for problem in registry.problems:
        yield Check("configuration", "fail", problem, "An operator can mend it in the admin under Endpoints.")


def _of_scopes(caller: Caller) -> Check:
    if not caller.may_use_files:
        advice = "Call without files, or ask an operator to add the scope files."
        return Check("scopes", "warn", "The token may call tools, but not use files.", advice)
    return Check("scopes", "ok", f"The token may call {len(caller.tool_names)} tools, and use files.")


def _worst(checks: Iterable[Check]) -> str:
    return min((check.status for check in checks), key=_WORST_FIRST.index, default="ok")

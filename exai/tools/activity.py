"""activity: which calls ended lately, and how, from their records."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.providers.base import Thinking
from exai.tools.base import Tool, ToolAnswer, ToolInput, plain_json
from exai.tools.context import ToolContext
from exai.tools.files import FileReferences
from exai.tools.hub import CallFilter, EndedCallFacts

_DEFAULT_LINES = 200
_DEFAULT_PERIOD = timedelta(hours=24)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class ActivityInput(ToolInput):
    lines: Annotated[int, Field(ge=10, le=5000)] | None = Field(_DEFAULT_LINES, description="How many at most.")
    filter: str | None = Field(
        None, description="Only calls whose tool, model, provider, client, status or error has this text."
    )
    source: Literal["auto", "activity", "server"] | None = Field(
        "auto", description="activity (auto): every ended call; server: only failed and abandoned ones."
    )
    since: str | None = Field(None, description="ISO 8601, UTC unless it says otherwise; by default the last 24 hours.")
    until: str | None = Field(None, description="Likewise; by default now.")
    structured: bool | None = Field(False, description="Objects instead of lines to read.")
    # Taken, as every tool of old took them, and without a meaning here.
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    thinking_mode: Thinking | None = None
    use_websearch: bool | None = True
    continuation_id: str | None = None
    images: FileReferences | None = None
    files: FileReferences | None = None
    model: str | None = None


class Activity(Tool[ActivityInput]):
    name = "activity"
    description = (
        "Which calls of your workspace ended lately: when, which tool and model, how long, what it cost, which error."
    )
    input_model = ActivityInput

    async def run(self, arguments: ActivityInput, context: ToolContext) -> ToolAnswer:
        now = datetime.now(UTC)
        until = _moment("until", arguments.until) or now
        since = _moment("since", arguments.since) or _day_before(until)
        if since >= until:
            raise InvalidValue("`since` is not before `until`: no call can lie between.", since="not before until")
        only_failed = arguments.source == "server"
        calls = await context.hub.ended_calls(
            CallFilter(
                most=arguments.lines or _DEFAULT_LINES,
                workspace=None if context.caller.is_admin else context.caller.workspace,
                since=since,
                until=until,
                text=(arguments.filter or "").strip(),
                only_failed=only_failed,
            )
        )
        found: dict[str, Any] = {
            "source": "server" if only_failed else "activity",
            "workspace": "all" if context.caller.is_admin else context.caller.workspace,
            "since": since.isoformat(),
            "until": until.isoformat(),
            "count": len(calls),
        }
        if arguments.structured:
            return await asyncio.to_thread(plain_json, {**found, "calls": calls})
        return await asyncio.to_thread(lambda: plain_json({**found, "lines": [_line(call) for call in calls]}))


def _moment(field: str, text: str | None) -> datetime | None:
    if text is None or not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue(
            f"`{field}` is no time: write it as 2026-11-21T15:00:00Z.", **{field: "should be ISO 8601"}
        ) from None
    return max(moment, _EARLIEST)


def _day_before(moment: datetime) -> datetime:
    return max(moment - _DEFAULT_PERIOD, _EARLIEST) if moment > _EARLIEST else moment


def _line(call: EndedCallFacts) -> str:
    parts = [f"{call.ended_at:%Y-%m-%dT%H:%M:%SZ}", f"{call.workspace}/{call.client}", call.tool, call.status]
    if call.model:
        tokens = (call.input_tokens or 0) + (call.output_tokens or 0)
        parts += [f"{call.provider}/{call.model}", f"{tokens} tokens"]
        parts.append("cost unknown" if call.cost is None else f"${call.cost:.6f}")
    parts.append(f"{call.total_ms:.0f} ms")
    if call.error_code:
        parts.append(f"{call.error_code}: {' '.join(call.message.split())}")
    return " ".join(parts)

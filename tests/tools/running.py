"""Runs a tool as the gateway does, without gateway and database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from exai.protocol.errors import ServiceUnavailable
from exai.protocol.values import Turn
from exai.providers.registry import Registry
from exai.tools.base import Tool, ToolAnswer
from exai.tools.context import TimeLimit, ToolContext
from exai.tools.files import Files
from exai.tools.hub import CallFilter, Check, EndedCallFacts
from exai.tools.steps import Step
from exai.tools.table import TOOLS_BY_NAME
from exai.tools.vendors import Vendors


@dataclass
class Agent:
    name: str = "agent"
    workspace: str = "project"
    is_admin: bool = False
    may_use_files: bool = True
    tool_names: Sequence[str] = tuple(TOOLS_BY_NAME)


@dataclass
class QuietHub:
    """The state of a hub where nothing else goes on."""

    started_at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    connections: int = 3
    calls_in_flight: int = 1
    draining: bool = False
    unconfigured_vendors: dict[str, str] = field(default_factory=lambda: {"glm": "ZAI_API_KEY"})
    states: dict[str, dict[str, Any]] = field(default_factory=lambda: {"database": {"status": "ok", "latency_ms": 0.4}})
    limits: dict[str, float] = field(default_factory=lambda: {"call_seconds": 300.0})
    provider_limits: dict[str, int] = field(default_factory=lambda: {"vendor": 64})
    done_checks: Sequence[Check] = (Check("database", "ok", "It answered."),)
    calls: Sequence[EndedCallFacts] = ()
    asked_calls: list[CallFilter] = field(default_factory=list)
    database_away: bool = False
    asked_failures: list[tuple[str | None, int]] = field(default_factory=list)

    async def components(self) -> dict[str, dict[str, Any]]:
        return self.states

    async def checks(self) -> Sequence[Check]:
        return self.done_checks

    async def ended_calls(self, wanted: CallFilter) -> list[EndedCallFacts]:
        if self.database_away:
            raise ServiceUnavailable("The database cannot be reached.")
        self.asked_calls.append(wanted)
        return list(self.calls)

    async def recent_failures(self, *, workspace: str | None, most: int) -> list[dict[str, Any]]:
        if self.database_away:
            raise ServiceUnavailable("The database cannot be reached.")
        self.asked_failures.append((workspace, most))
        return [{"tool": "chat", "error_code": "TIMEOUT"}][:most]


@dataclass
class Run:
    """What a run needs, and what it leaves behind."""

    registry: Registry
    hub: QuietHub = field(default_factory=QuietHub)
    caller: Agent = field(default_factory=Agent)
    turns: Sequence[Turn] = ()
    last_model: str = ""
    streams: bool = False
    files: Files | None = None
    steps: Sequence[Step] = ()
    continues: bool = False
    vendors: Vendors | None = None
    call_id: str = ""
    stages: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    async def __call__(self, tool_name: str, /, **arguments: Any) -> ToolAnswer:
        tool: Tool[Any] = TOOLS_BY_NAME[tool_name]
        return await tool.run(tool.input_model.model_validate_json(json.dumps(arguments)), self.context())

    def context(self, limit: TimeLimit | None = None) -> ToolContext:
        async def progress(stage: str) -> None:
            self.stages.append(stage)

        async def emit(piece: str) -> None:
            self.pieces.append(piece)

        return ToolContext(
            caller=self.caller,
            registry=self.registry,
            hub=self.hub,
            earlier_turns=self.turns,
            last_model=self.last_model,
            progress=progress,
            files=self.files,
            emit=emit if self.streams else None,
            limit=limit,
            call_id=self.call_id,
            continuation_id="the-conversation",
            continues=self.continues,
            steps=self.steps,
            vendors=self.vendors,
        )

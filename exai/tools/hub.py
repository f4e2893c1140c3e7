"""The port to the hub's own state, for the tools about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

CheckStatus = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True):
    """Whether something that calls need is there. `what_to_do` is empty when it is."""

    name: str
    status: CheckStatus
    message: str
    what_to_do: str = ""


class CallFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which ended calls are wanted. `workspace` None: of all. `text` is looked for, in any case, in the names of tool,
    model, provider, client, status and error."""

    most: int
    workspace: str | None
    since: datetime
    until: datetime
    text: str = ""
    only_failed: bool = False


class EndedCallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An ended call, as its record has it. `cost` in US dollars; None: unknown."""

    call_id: str
    ended_at: datetime
    client: str
    workspace: str
    tool: str
    model: str
    provider: str
    status: str
    error_code: str
    message: str
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    total_ms: float


class Hub(Protocol):
    """Figures of one web process; components as everyone sees them."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def connections(self) -> int: ...
    @property
    def calls_in_flight(self) -> int: ...
    @property
    def draining(self) -> bool: ...
    @property
    def unconfigured_vendors(self) -> dict[str, str]:
        """Vendor -> the setting that would configure it."""
        ...

    @property
    def limits(self) -> Mapping[str, float]:
        """What the settings allow, by names that say the unit."""
        ...

    @property
    def provider_limits(self) -> Mapping[str, int]:
        """Provider -> the requests to it that may be in flight."""
        ...

    async def components(self) -> dict[str, dict[str, Any]]: ...
    async def checks(self) -> Sequence[Check]:
        """Tries what every call needs: databases, files, their reading, room on the disk. Never raises."""
        ...

    async def recent_failures(self, *, workspace: str | None, most: int) -> list[dict[str, Any]]:
        """Failed calls of the last hour in a workspace (None: in all), newest first. Raises `ServiceUnavailable`
        while the database is away."""
        ...

    async def ended_calls(self, wanted: CallFilter) -> list[EndedCallFacts]:
        """Newest first. Where a text is looked for, only the newest calls of the time are looked at. Raises
        `ServiceUnavailable` while the database is away."""
        ...

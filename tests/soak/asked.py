"""What a schedule knows of its calls and of what it asked over each connection."""

import time
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

Frame = dict[str, Any]
CANCELLABLE, FAILING = "endless", ("failing", "breaking")
_SAFE_AFTER_S = 2.0  # a result that was sent is kept in Redis
KINDS = ("fast", "slow", "trickling", *FAILING, CANCELLABLE)


class Speaker(NamedTuple):
    """One session of one client; all of them count their requests 1, 2, 3."""

    client_id: int
    client: str
    token: str
    session: str

    @property
    def secret(self) -> str:
        """Stands in every prompt and so in every answer of the client, and nowhere else."""
        return f"secret-of-{self.client}."


@dataclass(eq=False)
class SoakCall:
    """A call that is meant once, however often it is asked for."""

    speaker: Speaker
    marker: str
    kind: str
    arguments: Frame
    request_ids: list[int] = field(default_factory=list)
    times_asked: int = 0
    runs_allowed: int = 1  # unless it is disturbed
    cancelled: bool = False
    asked_at: dict[int, float] = field(default_factory=dict)  # pid of the process -> monotonic seconds
    acknowledged: set[int] = field(default_factory=set)  # request_ids
    call_ids: set[str] = field(default_factory=set)
    results: list[Frame] = field(default_factory=list)
    last_result_at: float | None = None  # monotonic seconds

    @property
    def prompt(self) -> str:
        return str(self.arguments["prompt"])

    @property
    def streams(self) -> bool:
        return bool(self.arguments.get("stream"))

    def killed(self, died_at: dict[int, float]) -> bool:
        """Whether one of its processes died before its result was safe."""
        safe_at = inf if self.last_result_at is None else self.last_result_at + _SAFE_AFTER_S
        return any(asked_at <= died_at.get(pid, -1.0) <= safe_at for pid, asked_at in self.asked_at.items())

    def note_result(self, frame: Frame) -> None:
        self.results.append(frame)
        self.last_result_at = time.monotonic()

    def __str__(self) -> str:
        return f"{self.marker} ({self.kind}, ids {self.request_ids} of {self.speaker.client}:{self.speaker.session})"


class Ask(NamedTuple):
    """A frame that wants the frames of a call. `maybe_delivered`: the result had perhaps been delivered already."""

    op: Literal["call", "repeat", "re-ask", "resume"]
    call: SoakCall
    after: int
    maybe_delivered: bool

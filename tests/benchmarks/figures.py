"""Which figures there are, what each is compared with, and what is aimed at."""

import statistics
from collections import defaultdict
from typing import Literal, NamedTuple

Side = Literal["hub", "baseline", "compared"]

UPSTREAM = "upstream directly"
ECHO = "bare ASGI echo"
BARE_SQL = "bare SQL"


class Figure(NamedTuple):
    name: str
    title: str
    unit: str
    baseline: str | None = None
    """What the baseline's side of the figure is."""
    below: float | None = None
    """The aim: less than this."""
    at_least: float | None = None
    """The aim: this or more."""

    def met(self, value: float) -> bool | None:
        """Whether the aim is met; None when there is none."""
        if self.below is not None:
            return value < self.below
        if self.at_least is not None:
            return value >= self.at_least
        return None

    @property
    def aim(self) -> str:
        if self.below is not None:
            return f"< {self.below:g} {self.unit}"
        return "" if self.at_least is None else f"≥ {self.at_least:g} {self.unit}"


FIGURES = (
    Figure("chat_p50", "chat, one connection, p50", "ms", UPSTREAM),
    Figure("chat_p99", "chat, one connection, p99", "ms", UPSTREAM),
    Figure("chat_added_p50", "  added by the hub, p50", "ms", below=2.5),
    Figure("chat_added_p99", "  added by the hub, p99", "ms"),
    Figure("calls_per_second", "chat at saturation, one process", "/s", ECHO, at_least=600),
    Figure("cpu_per_call", "  CPU a call, web process", "ms", ECHO, below=1.3),
    Figure("web_busy", "  web process, of one core", "%", ECHO),
    Figure("generator_busy", "  load generator, of one core", "%", ECHO),
    Figure("saturated_p99", "  latency at saturation, p99", "ms", ECHO),
    Figure("open_rate", "chat at half of capacity: arrivals", "/s"),
    Figure("open_p50", "  from the intended start, p50", "ms", UPSTREAM),
    Figure("open_p99", "  from the intended start, p99", "ms", UPSTREAM),
    Figure("open_added_p50", "  added by the hub, p50", "ms"),
    Figure("open_added_p99", "  added by the hub, p99", "ms"),
    Figure("first_chunk_p50", "first chunk of a stream, p50", "ms", UPSTREAM),
    Figure("first_chunk_added_p50", "  added by the hub, p50", "ms"),
    Figure("cpu_per_chunk", "CPU a streamed chunk, web process", "µs"),
    Figure("wrappers_cpu", "CPU of choice, meter, timeout, retry, breaker and slot, a call", "µs", "slot alone"),
    Figure("wrappers_added", "  of that without the slot", "µs", below=30),
    Figure("cancel_to_closed", "cancel until the upstream sees it", "ms", below=100),
    Figure("longest_silence", "1,000 connected, 200 active, beat of 1 s: longest silence", "s", below=2),
    Figure("dead_vendor_p50", "auto, the first vendor refuses connections, p50", "ms", UPSTREAM),
    Figure("dead_vendor_p99", "auto, the first vendor refuses connections, p99", "ms", UPSTREAM),
    Figure("dead_vendor_added_p50", "  added by the hub, p50", "ms", below=50),
    Figure("dead_vendor_added_p99", "  added by the hub, p99", "ms", below=50),
    Figure("upload_rate", "upload of a large file: hashed, stored", "MB/s", "bare ASGI that drops it", at_least=200),
    Figure("upload_by_hash", "  of the speed of SHA-256 alone", "%"),
    Figure("upload_memory", "  memory that it takes", "MB", "bare ASGI that drops it", below=20),
    Figure("memory_per_connection", "memory an idle connection", "KB", ECHO, below=45),
    Figure("list_tools_p50", "list_tools, p50", "ms", f"{ECHO} of as many bytes"),
    Figure("list_tools_bytes", "  its size", "bytes"),
    Figure("listmodels_p50", "listmodels, p50", "ms", below=20),
    Figure("listmodels_p99", "  p99", "ms", below=20),
    Figure("parallel_chats", "9 chats at once, upstream of 200 ms", "s", UPSTREAM, below=0.25),
    Figure("page_p50", "a page of 50 among many messages, p50", "ms", BARE_SQL),
    Figure("page_p99", "  p99", "ms", BARE_SQL),
    Figure("page_ratio", "  p99 by that of the bare SQL", "×", below=2),
    Figure("turn_p50", "the statement of a turn, p50", "ms", "not noted for the search"),
    Figure("turn_added", "  added by the note", "ms", below=0.2),
    Figure("search_common", "search, words that most or many messages hold, p50", "ms", below=50),
    Figure("search_middling", "  that one in a hundred holds, p50", "ms", below=50),
    Figure("search_seldom", "  that one in a thousand holds, p50", "ms", below=50),
    Figure("search_rare", "  that one message holds, p50", "ms", below=50),
    Figure("search_two", "  two words at once, p50", "ms", below=50),
    Figure("search_small", "  in a small workspace beside, p50", "ms", below=50),
    Figure("version_slowest", "slowest version during a long call", "ms", "while idle", below=20),
)


class Spread(NamedTuple):
    minimum: float
    median: float
    maximum: float
    rounds: list[float]

    @classmethod
    def of(cls, rounds: list[float]) -> "Spread":
        return cls(min(rounds), statistics.median(rounds), max(rounds), rounds)


class Samples:
    """One value a round for each side of each figure."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Side], list[float]] = defaultdict(list)

    def add(self, figure: str, side: Side, value: float) -> None:
        self._values[figure, side].append(value)

    def spread(self, figure: str, side: Side) -> Spread | None:
        values = self._values.get((figure, side))
        return Spread.of(values) if values else None

    def ratio(self, figure: str) -> Spread | None:
        """The hub's value by that of the other commit, round by round; None when any is not positive."""
        pairs = list(zip(self._values[figure, "hub"], self._values[figure, "compared"], strict=False))
        if not pairs or min(min(pair) for pair in pairs) <= 0:
            return None
        return Spread.of([hub / compared for hub, compared in pairs])

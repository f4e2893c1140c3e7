"""What the soak has found, as a table to read and as JSON to keep."""

import statistics
from dataclasses import asdict
from typing import Any, NamedTuple

from tests.soak.batch import Verdict
from tests.soak.cluster import SHORT
from tests.soak.load import LOAD_SETTINGS, RAISED_LIMITS, RETENTION_S, Load

_MOST_GROWTH = 0.05
_WARM_UP_S = 120.0
_MIB = 1024 * 1024


class Growth(NamedTuple):
    """From the first quarter of the watched part to its last, by their medians; bytes."""

    name: str
    first: float
    last: float

    @property
    def share(self) -> float:
        return self.last / self.first - 1 if self.first else 0.0

    @property
    def flat(self) -> bool:
        return self.share <= _MOST_GROWTH


def growths(load: Load) -> list[Growth]:
    """Of memory after the second minute; a run of less than four minutes is watched in its second
    half, once the first results have been forgotten. Empty: the run was too short."""
    watched_from = min(_WARM_UP_S, max(load.lasted_s / 2, RETENTION_S * 1.25))
    samples = [sample for sample in load.samples if watched_from <= sample.at_s <= load.lasted_s]
    if len(samples) < 4:
        return []
    quarter = max(1, len(samples) // 4)
    series: list[tuple[str, list[int]]] = [
        (f"web process {number + 1}", [sample.processes[number] for sample in samples])
        for number in range(len(samples[0].processes))
    ]
    # The number of keys is not judged: those that have run out are counted until Valkey comes by. What is left at the
    # end is.
    series.append(("Valkey", [sample.redis for sample in samples]))
    return [
        Growth(name, statistics.median(values[:quarter]), statistics.median(values[-quarter:]))
        for name, values in series
    ]


def failures(verdicts: list[Verdict], load: Load | None) -> list[str]:
    failed = [f"{breach} ({verdict.name})" for verdict in verdicts for breach in verdict.breaches]
    if load is None:
        return failed
    tally = load.tally
    if tally.lost:
        failed.append(f"{tally.lost} answers were lost")
    if tally.wrong:
        failed.append(f"{tally.wrong} answers were wrong")
    if load.unfinished:
        failed.append(f"{load.unfinished} calls are recorded as other than succeeded")
    failed += [f"left in Redis past the retention: {left}" for left in load.left]
    return failed + [f"{growth.name} grew by {growth.share:.1%}" for growth in growths(load) if not growth.flat]


def as_json(verdicts: list[Verdict], load: Load | None) -> dict[str, Any]:
    return {
        "schedules": {
            "run": len(verdicts),
            "calls": sum(verdict.calls for verdict in verdicts),
            "settings": SHORT,
            "failed": [verdict._asdict() for verdict in verdicts if verdict.breaches],
        },
        "load": load
        and {
            "lasted_s": round(load.lasted_s, 1),
            "settings": LOAD_SETTINGS,
            "limits_raised": RAISED_LIMITS,
            "tally": asdict(load.tally),
            "recorded": load.recorded,
            "left": load.left,
            "logged": load.logged,
            "growth": [{**growth._asdict(), "share": growth.share, "flat": growth.flat} for growth in growths(load)],
            "samples": [sample._asdict() for sample in load.samples],
        },
        "failures": failures(verdicts, load),
    }


def as_table(verdicts: list[Verdict], load: Load | None) -> str:
    broken = sum(bool(verdict.breaches) for verdict in verdicts)
    lines = [
        f"Schedules: {len(verdicts)}, calls in them: {sum(verdict.calls for verdict in verdicts)}, broken: {broken}"
    ]
    if load is not None:
        tally = load.tally
        raised = ", ".join(f"{name}={value}" for name, value in RAISED_LIMITS.items()) or "none"
        settings = ", ".join(f"{name}={value}" for name, value in LOAD_SETTINGS.items())
        lines += [
            f"Load: {tally.asked} calls in {load.lasted_s:.0f} s ({tally.asked / load.lasted_s:.0f}/s), {settings}; "
            f"limits raised: {raised}",
            f"  answered {tally.answered}, lost {tally.lost}, wrong {tally.wrong}, "
            f"refused and asked again {tally.refused}",
            f"  drops {tally.drops}, resumes {tally.resumes}, repeats {tally.repeats}, re-asks {tally.re_asks}, "
            f"never arrived {tally.not_found}; calls run {load.recorded}",
            *(f"  logged {count} times: {line}" for line, count in load.logged.items()),
            *(f"  {what}: {example[:300]}" for what, examples in tally.examples.items() for example in examples),
            "",
            *_samples(load),
            "",
            *([_growth(growth) for growth in growths(load)] or ["  Too short a run to see whether memory is flat."]),
        ]
    failed = failures(verdicts, load)
    return "\n".join([*lines, "", *(f"FAILED: {failure}" for failure in failed[:50]), "" if failed else "All is well."])


def _samples(load: Load) -> list[str]:
    """One line for each twelfth of the time."""
    rows = ["  seconds   web processes, MiB   Valkey, MiB     keys"]
    for sample in load.samples[:: max(1, len(load.samples) // 12)]:
        processes = " ".join(f"{resident / _MIB:.1f}" for resident in sample.processes)
        rows.append(f"  {sample.at_s:7.0f}   {processes:>18}   {sample.redis / _MIB:11.1f}   {sample.keys:6d}")
    return rows


def _growth(growth: Growth) -> str:
    words = "flat" if growth.flat else "NOT FLAT"
    return f"  {growth.name}: {growth.first / _MIB:.1f} to {growth.last / _MIB:.1f} MiB ({growth.share:+.1%}): {words}"

"""The figures as a table to read and as JSON to keep."""

import platform
from typing import Any, NamedTuple

import psutil

from exai.tools.catalogue import tool_catalogue
from exai.tools.profiles import PROFILE_NAMES, tools_of
from tests.benchmarks.figures import FIGURES, Figure, Samples, Spread
from tests.benchmarks.plan import Plan
from tests.benchmarks.rig import RAISED_LIMITS

_MOST_KB = {"lean": 12, "standard": 40}  # tests/tools/test_profiles.py holds them


class Run(NamedTuple):
    """What was measured."""

    plan: Plan
    commit: str
    compared_ref: str | None
    compared_commit: str | None
    lasted_s: float


def catalogue_bytes() -> dict[str, int]:
    """What an agent of each tool profile is given by list_tools."""
    return {name: len(bytes(tool_catalogue(tools_of(name)))) for name in PROFILE_NAMES}


def as_json(run: Run, samples: Samples) -> dict[str, Any]:
    return {
        "commit": run.commit,
        "compared": {"ref": run.compared_ref, "commit": run.compared_commit} if run.compared_ref else None,
        "plan": run.plan._asdict(),
        "limits_raised": RAISED_LIMITS,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": psutil.cpu_count(),
        "lasted_s": round(run.lasted_s, 1),
        "catalogue_bytes": catalogue_bytes(),
        "figures": [_figure_as_json(figure, samples) for figure in FIGURES],
    }


def as_table(run: Run, samples: Samples) -> str:
    limits = ", ".join(f"{name}={value}" for name, value in RAISED_LIMITS.items()) or "none"
    rows = [["", "hub", *([run.compared_ref, "ratio"] if run.compared_ref else []), "baseline", "", "aim"]]
    rows += [_row(figure, samples, compared=run.compared_ref is not None) for figure in FIGURES]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"EXAI {run.commit} · {run.plan.name} run, rounds: {run.plan.rounds} · Python {platform.python_version()} · "
        f"CPUs: {psutil.cpu_count()} · {run.lasted_s:.0f} s",
        f"Tools as listed: {_catalogues()}.",
        f"Limits raised: {limits}. Each value is the median of the rounds (least … greatest).",
        "",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]
    return "\n".join(lines)


def _catalogues() -> str:
    sizes = catalogue_bytes()
    return ", ".join(
        f"{name} {sizes[name] / 1000:.1f} KB" + (f" (aim: at most {_MOST_KB[name]})" if name in _MOST_KB else "")
        for name in sizes
    )


def _row(figure: Figure, samples: Samples, *, compared: bool) -> list[str]:
    hub = samples.spread(figure.name, "hub")
    row = [f"{figure.title}, {figure.unit}", _words(figure, hub)]
    if compared:
        row.append(_words(figure, samples.spread(figure.name, "compared")))
        ratio = samples.ratio(figure.name)
        row.append(f"{ratio.median:.2f} ({ratio.minimum:.2f} … {ratio.maximum:.2f})" if ratio else "")
    row += [_words(figure, samples.spread(figure.name, "baseline")), figure.baseline or ""]
    met = figure.met(hub.median) if hub else None
    return [*row, "" if met is None else f"{figure.aim}: {'met' if met else 'NOT MET'}"]


def _words(figure: Figure, spread: Spread | None) -> str:
    if spread is None:
        return ""
    digits = {"ms": 2, "s": 3, "KB": 1, "MB": 1}.get(figure.unit, 0)
    return f"{spread.median:.{digits}f} ({spread.minimum:.{digits}f} … {spread.maximum:.{digits}f})"


def _figure_as_json(figure: Figure, samples: Samples) -> dict[str, Any]:
    hub = samples.spread(figure.name, "hub")
    return {
        "name": figure.name,
        "title": figure.title.strip(),
        "unit": figure.unit,
        "hub": _spread_as_json(hub),
        "baseline": _spread_as_json(samples.spread(figure.name, "baseline")),
        "baseline_is": figure.baseline,
        "compared": _spread_as_json(samples.spread(figure.name, "compared")),
        "ratio": _spread_as_json(samples.ratio(figure.name)),
        "aim": figure.aim or None,
        "met": figure.met(hub.median) if hub else None,
    }


def _spread_as_json(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return {"min": spread.minimum, "median": spread.median, "max": spread.maximum, "rounds": spread.rounds}

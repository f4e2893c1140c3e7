"""`python -m tests.soak`: hundreds of random schedules, then minutes of load; prints a table and writes JSON."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.soak.batch import Verdict, run_seeds
from tests.soak.cluster import SHORT, Cluster
from tests.soak.load import LOAD_SETTINGS, PROCESSES, Load, run_load, teach_load
from tests.soak.report import as_json, as_table, failures
from tests.soak.rig import own_databases
from tests.soak.shrinking import shrink
from tests.soak.steps import steps_of
from tests.upstream import Upstream

_BATCH = 10


async def _run_schedules(cluster: Cluster, first: int, count: int) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for start in range(first, first + count, _BATCH):
        batch = await run_seeds(cluster, range(start, min(start + _BATCH, first + count)))
        verdicts += batch
        broken = [verdict for verdict in batch if verdict.breaches]
        print(f"Schedules {start} to {start + _BATCH - 1}: {len(broken)} broken", file=sys.stderr, flush=True)
        for verdict in broken:
            print(verdict, file=sys.stderr, flush=True)
    return verdicts


async def _shrink(cluster: Cluster, seed: int) -> None:
    print(f"Seed {seed} is made shorter", file=sys.stderr, flush=True)
    shortest = await shrink(cluster, f"seed-{seed}", steps_of(seed))
    if shortest is None:
        print("It does not fail by itself.", file=sys.stderr)
    else:
        print("\n".join(["It still fails with these steps:", *map(str, shortest)]), file=sys.stderr)


def _schedules(environment: dict[str, str], upstream: Upstream, arguments: argparse.Namespace) -> list[Verdict]:
    with Cluster({**environment, **SHORT}, upstream, processes=3) as cluster:
        if arguments.shrink is not None:
            asyncio.run(_shrink(cluster, arguments.shrink))
            return []
        return asyncio.run(_run_schedules(cluster, arguments.first_seed, arguments.schedules))


def _load(environment: dict[str, str], upstream: Upstream, arguments: argparse.Namespace) -> Load:
    teach_load(upstream)
    with Cluster({**environment, **LOAD_SETTINGS}, upstream, processes=PROCESSES) as cluster:
        cluster.redis.flushdb()  # of what the schedules keep for longer
        print(f"{arguments.minutes:g} minutes at {arguments.rate:g} calls/s", file=sys.stderr, flush=True)
        return asyncio.run(run_load(cluster, rate=arguments.rate, duration_s=arguments.minutes * 60))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--schedules", type=int, default=500, help="schedules to run (%(default)s); 0 for none")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first one (%(default)s)")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="only make the failing schedule of a seed shorter")
    parser.add_argument("--minutes", type=float, default=10, help="minutes of load (%(default)s); 0 for none")
    parser.add_argument("--rate", type=float, default=200, help="calls a second of the load (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("soak.json"), help="JSON file to write (%(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    # An exception, so that all processes are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Upstream() as upstream, own_databases(upstream) as environment:
        verdicts = _schedules(environment, upstream, arguments) if arguments.schedules else []
        if arguments.shrink is not None:
            return
        load = _load(environment, upstream, arguments) if arguments.minutes else None
    print(as_table(verdicts, load))
    arguments.output.write_text(json.dumps(as_json(verdicts, load), indent=2) + "\n")
    if failures(verdicts, load):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

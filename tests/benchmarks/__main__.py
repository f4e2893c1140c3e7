"""`python -m tests.benchmarks`: measures the hub, prints a table and writes JSON."""

import argparse
import gc
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.benchmarks.connections import BenchmarkError, DirectClient, client_session
from tests.benchmarks.conversations import measure_conversations
from tests.benchmarks.figures import Samples
from tests.benchmarks.latency import (
    measure_dead_vendor,
    measure_first_chunk,
    measure_half_of_capacity,
    measure_list_tools,
    measure_listmodels,
    measure_one_connection,
)
from tests.benchmarks.memory import measure_memory
from tests.benchmarks.plan import FULL, QUICK, TINY, Plan
from tests.benchmarks.report import Run, as_json, as_table
from tests.benchmarks.rig import Variant, checked_out, commit_name, echo_server, prepared, teach
from tests.benchmarks.saturation import measure_saturation
from tests.benchmarks.scenarios import (
    measure_cancel,
    measure_chunks,
    measure_crowd,
    measure_parallel_chats,
    measure_version_during_a_long_call,
)
from tests.benchmarks.sides import EchoSide, HubSide, Setting
from tests.benchmarks.uploads import measure_uploads
from tests.benchmarks.wrappers import measure_wrappers
from tests.hub import PROJECT_DIR
from tests.upstream import Upstream


async def _run_round(
    number: int, plan: Plan, samples: Samples, variants: Sequence[Variant], upstream: Upstream
) -> None:
    # Fresh processes each round: what a process happens to begin with is a part of the spread.
    with ExitStack() as stack:
        running = [(variant, stack.enter_context(variant.hub())) for variant in variants]
        echo = stack.enter_context(echo_server())
        async with client_session() as session:
            setting = Setting(
                number=number,
                plan=plan,
                samples=samples,
                hubs=[HubSide(variant.side, hub, variant.token, session) for variant, hub in running],
                echo=EchoSide(echo, session),
                direct=DirectClient(session, upstream.url),
                upstream=upstream,
            )
            await measure_memory(setting)
            await measure_one_connection(setting)
            capacity = await measure_saturation(setting)
            await measure_half_of_capacity(setting, capacity)
            await measure_first_chunk(setting)
            await measure_list_tools(setting)
            await measure_listmodels(setting)
            await measure_parallel_chats(setting)
            await measure_version_during_a_long_call(setting)
            await measure_chunks(setting)
            await measure_wrappers(setting)
            await measure_cancel(setting)
            await measure_uploads(setting)
            newest = next(variant for variant in variants if variant.side == "hub")
            with newest.crowded_hub() as crowded:
                await measure_crowd(setting, HubSide("hub", crowded, newest.token, session))
            with newest.hub_with_a_dead_vendor() as bereft:
                await measure_dead_vendor(setting, HubSide("hub", bereft, newest.token, session))


def _measure(plan: Plan, compared_ref: str | None) -> tuple[Run, Samples]:
    began = time.monotonic()
    samples = Samples()
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        teach(upstream, plan)
        worktree = stack.enter_context(checked_out(compared_ref)) if compared_ref else None
        variants = [stack.enter_context(prepared("hub", PROJECT_DIR, upstream))]
        if worktree:
            variants.append(stack.enter_context(prepared("compared", worktree, upstream)))
        gc.freeze()
        gc.disable()  # a collection in the load generator would count as the hub's latency
        for number in range(plan.rounds):
            print(f"Round {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
            order = variants if number % 2 == 0 else variants[::-1]
            uvloop.run(_run_round(number, plan, samples, order, upstream))
            gc.collect()
        print(f"Paging and search among {plan.messages:,} messages", file=sys.stderr, flush=True)
        measure_conversations(plan.messages, samples, plan.rounds)
        compared_commit = commit_name(worktree) if worktree else None
        run = Run(plan, commit_name(PROJECT_DIR), compared_ref, compared_commit, time.monotonic() - began)
    return run, samples


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="plan", action="store_const", const=QUICK, help="half a minute, more noise")
    size.add_argument("--tiny", dest="plan", action="store_const", const=TINY, help="only shows that it works")
    parser.add_argument("--rounds", type=int, help="rounds to measure")
    parser.add_argument("--compare", metavar="REF", help="measure this commit too, in the same rounds")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="JSON file to write (%(default)s)")
    parser.set_defaults(plan=FULL)
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds should be 1 or more")
    if arguments.compare == "":
        parser.error("--compare needs a commit: make bench-compare REF=main")
    return arguments


def main() -> None:
    arguments = _arguments()
    # An exception, so that the databases are stopped and the worktree is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = arguments.plan._replace(rounds=arguments.rounds or arguments.plan.rounds)
    try:
        run, samples = _measure(plan, arguments.compare)
    except (BenchmarkError, RuntimeError, TimeoutError) as error:
        sys.exit(f"The benchmark could not be run. {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(as_table(run, samples))
    arguments.output.write_text(json.dumps(as_json(run, samples), indent=2) + "\n")


if __name__ == "__main__":
    main()

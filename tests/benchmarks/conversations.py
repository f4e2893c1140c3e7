"""Paging and search among many messages, in a database of its own: `python -m tests.benchmarks.conversations --messages
10000000 --without-search` for more of them than `make bench` takes. Prints JSON: milliseconds by figure and side."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from exai.embedded.engines import start_engines
from exai.settings.hub import parse
from tests.benchmarks.figures import Samples
from tests.benchmarks.many_messages import HUGE, SMALL, make_messages
from tests.hub import PROJECT_DIR, hub_environment, manage

_PAGES = 4_000
_WARMING = 500
_SEARCHES = 15  # of each kind, each of another word
_PARTS = {"page_p50": 0.5, "page_p99": 0.99}
_BARE_PAGE: LiteralString = """
SELECT position, role, content, model, provider, tokens, metadata, created_at FROM messages
WHERE conversation_id = %s AND position < %s ORDER BY position DESC LIMIT 50
"""
# What is looked for, where: words by their rank, 1 being the most common.
_KINDS: dict[str, tuple[str, Callable[[int], str]]] = {
    "search_common": (HUGE, lambda number: f"w{1 + number}"),
    "search_middling": (HUGE, lambda number: f"w{800 + 30 * number}"),
    "search_seldom": (HUGE, lambda number: f"w{8_000 + 100 * number}"),
    "search_rare": (HUGE, lambda number: f"only{1_000 + number}"),
    "search_two": (HUGE, lambda number: f"w{100 + number} w{300 + number}"),
    "search_small": (SMALL, lambda number: f"w{1 + 10 * number}"),
}


def measure_conversations(messages: int, samples: Samples, rounds: int) -> None:
    """In a process of its own, with Django set up for that database."""
    command = [sys.executable, "-m", "tests.benchmarks.conversations", "--messages", str(messages)]
    done = subprocess.run(
        [*command, "--rounds", str(rounds)],
        cwd=PROJECT_DIR,
        env=hub_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"Paging and search: {done.stderr.strip()[-2000:]}")
    for measured in json.loads(done.stdout):
        samples.add(measured["figure"], measured["side"], measured["ms"])


@contextmanager
def _database(messages: int, *, with_words: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as data_dir:
        Path(data_dir).chmod(0o711)
        engines = start_engines(parse({"EXAI_DATA_DIR": data_dir}))
        try:
            environment = {**engines.environment(), "EXAI_DATA_DIR": data_dir}
            manage(environment, "migrate", "--no-input")
            os.environ.update(environment)
            url = environment["DATABASE_URL"]
            began = time.monotonic()
            with psycopg.connect(url, autocommit=True) as database:
                make_messages(database, messages, with_words=with_words)
            print(f"{messages:,} messages made in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            yield url
        finally:
            engines.close()


def _measure_pages() -> list[dict[str, Any]]:
    from django.db import connection

    from conversations.models import Conversation
    from conversations.selectors import get_conversation_messages

    # Half of the pages are of the long conversation, at any place in it.
    long = Conversation.objects.order_by("pk").values_list("pk", flat=True)[0]
    (newest,) = get_conversation_messages(long, limit=1)
    ids = [long] * 500 + list(Conversation.objects.order_by("?").values_list("pk", flat=True)[:500])

    def bare(conversation: int, before: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_BARE_PAGE, (conversation, before))
            cursor.fetchall()

    def ours(conversation: int, before: int) -> None:
        get_conversation_messages(conversation, before=before)

    taken: dict[str, list[float]] = {"hub": [], "baseline": []}
    for number in range(_WARMING + _PAGES):
        # Each reads pages of its own, so that neither is warmed by the other.
        for side, read in (("hub", ours), ("baseline", bare)) if number % 2 else (("baseline", bare), ("hub", ours)):
            lasted = _timed(read, random.choice(ids), random.randint(1, newest.position))
            if number >= _WARMING:
                taken[side].append(lasted)
    measured: list[dict[str, Any]] = [
        {"figure": figure, "side": side, "ms": sorted(values)[int(len(values) * part)]}
        for side, values in taken.items()
        for figure, part in _PARTS.items()
    ]
    p99 = {entry["side"]: entry["ms"] for entry in measured if entry["figure"] == "page_p99"}
    return [*measured, {"figure": "page_ratio", "side": "hub", "ms": p99["hub"] / p99["baseline"]}]


def _measure_searches() -> list[dict[str, Any]]:
    from conversations.searching import search

    found = []
    for figure, (workspace, word) in _KINDS.items():
        taken = [_timed(search, word(number), workspace=workspace) for number in range(_SEARCHES)]
        found.append({"figure": figure, "side": "hub", "ms": statistics.median(taken)})
    return found


def _timed(what: Callable[..., object], *given: object, **named: object) -> float:
    began = time.perf_counter()
    what(*given, **named)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.conversations", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--without-search", action="store_true", help="its words take most of the time to make")
    arguments = parser.parse_args()
    os.environ["EXAI_ENV_FILE"] = os.devnull
    os.environ["DJANGO_SETTINGS_MODULE"] = "exai.settings.project"
    with _database(arguments.messages, with_words=not arguments.without_search) as url:
        import django

        django.setup()
        # Its modules need Django set up.
        from tests.benchmarks.turns import measure_turns

        measured = []
        for _ in range(arguments.rounds):
            measured += _measure_pages()
            measured += measure_turns(url, HUGE)
            if not arguments.without_search:
                measured += _measure_searches()
        from django.db import connections

        connections.close_all()
    print(json.dumps(measured))


if __name__ == "__main__":
    main()

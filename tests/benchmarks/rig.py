"""The processes that are measured: hubs with databases of their own, the upstream, the bare echo."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from exai.embedded.engines import start_engines
from exai.settings.hub import parse
from tests.benchmarks.connections import STEADY
from tests.benchmarks.figures import Side
from tests.benchmarks.plan import Plan
from tests.hub import PROJECT_DIR, RunningHub, create_client, manage
from tests.upstream import Upstream

TRICKLING, SLOW, FIRST_LONG, LONG = "trickling", "slow-200ms", "long-first", "long"
MANY_CHUNKS, ENDLESS, CROWDED = "many-chunks", "endless", "crowded"
CHUNKS = 500

# Settings by which the benchmark lifts a limit of the hub; printed with the figures.
# One client drives the hub harder than any agent would. A commit that does not know a limit ignores it.
RAISED_LIMITS: dict[str, str] = {
    "RATE_LIMIT_GLOBAL_CAPACITY": "1000000",
    "RATE_LIMIT_GLOBAL_REFILL_RATE": "1000000",
    "RATE_LIMIT_USER_CAPACITY": "1000000",
    "RATE_LIMIT_USER_REFILL_RATE": "1000000",
    "EXAI_WS_SESSION_MAX_INFLIGHT": "256",
}


class Variant(NamedTuple):
    """A commit's hub, ready to be started: its databases run and are migrated, its client exists."""

    side: Side
    project_dir: Path
    environment: dict[str, str]
    token: str

    def hub(self, **more: str) -> RunningHub:
        return RunningHub({**self.environment, **more}, project_dir=self.project_dir)

    def crowded_hub(self) -> RunningHub:
        """One that lets 200 calls to the upstream run at once, and beats every second."""
        (endpoint,) = json.loads(self.environment["EXAI_ENDPOINTS"])
        endpoints = json.dumps([{**endpoint, "max_inflight": 256}])
        return self.hub(EXAI_ENDPOINTS=endpoints, EXAI_WS_PROGRESS_INTERVAL_SECS="1")

    def hub_with_a_dead_vendor(self) -> RunningHub:
        """One whose first vendor's address refuses connections; `auto` would take that one."""
        (endpoint,) = json.loads(self.environment["EXAI_ENDPOINTS"])
        dead = {"name": "dead", "url": "http://127.0.0.1:1/v1", "models": ["never-there"]}
        return self.hub(EXAI_ENDPOINTS=json.dumps([dead, endpoint]), EXAI_PROVIDER_RETRIES="0")


@contextmanager
def prepared(side: Side, project_dir: Path, upstream: Upstream) -> Iterator[Variant]:
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as data_dir:
        # The engines' own user must get to its folder in there when this runs as root.
        Path(data_dir).chmod(0o711)
        engines = start_engines(parse({"EXAI_DATA_DIR": data_dir}))
        try:
            models = [STEADY, TRICKLING, SLOW, FIRST_LONG, LONG, MANY_CHUNKS, ENDLESS, CROWDED]
            endpoint = {"name": "bench", "url": upstream.url, "key": "bench-key", "models": models}
            environment = {
                **engines.environment(),
                "EXAI_DATA_DIR": data_dir,
                "EXAI_ENDPOINTS": json.dumps([endpoint]),
                **RAISED_LIMITS,
            }
            manage(environment, "migrate", "--no-input", project_dir=project_dir)
            token = create_client(environment, "bench", project_dir=project_dir)
            yield Variant(side, project_dir, environment, token)
        finally:
            engines.close()


def echo_server() -> RunningHub:
    return RunningHub({}, command=("-m", "tests.benchmarks.echo"))


def teach(upstream: Upstream, plan: Plan) -> None:
    """How the models answer; `steady` answers at once."""
    upstream.behave(TRICKLING, chunks=4, chunk_delay_s=0.005)
    upstream.behave(SLOW, delay_s=0.2)
    upstream.behave(FIRST_LONG, delay_s=plan.first_long_call_s)
    upstream.behave(LONG, delay_s=plan.long_call_s)
    upstream.behave(MANY_CHUNKS, text="chunk of text " * CHUNKS, chunks=CHUNKS)
    upstream.behave(ENDLESS, delay_s=60)
    upstream.behave(CROWDED, delay_s=plan.long_call_s * 2)


@contextmanager
def checked_out(ref: str) -> Iterator[Path]:
    """A worktree of the commit in a temporary folder, gone afterwards. Raises `RuntimeError` for an unknown ref."""
    with tempfile.TemporaryDirectory(prefix="exai-bench-ref-") as folder:
        worktree = Path(folder) / "worktree"
        commit = _git("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        _git("worktree", "add", "--detach", "--quiet", str(worktree), commit)
        try:
            yield worktree
        finally:
            _git("worktree", "remove", "--force", str(worktree))


def commit_name(project_dir: Path) -> str:
    """The short hash, with `-dirty` when files have been changed since; `unknown` outside a checkout."""
    try:
        return _git("describe", "--always", "--dirty", "--exclude=*", project_dir=project_dir)
    except (RuntimeError, OSError):
        return "unknown"


def _git(*arguments: str, project_dir: Path = PROJECT_DIR) -> str:
    command = [shutil.which("git") or "git", *arguments]
    done = subprocess.run(command, cwd=project_dir, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()

"""What tests of the whole hub share: a database of its own, an upstream, a web process."""

import json
import os
from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from exai.access import token_hash
from tests.hub import RunningHub, manage
from tests.upstream import Upstream

_OWN_REDIS_DATABASES = 8  # of the 16 that there are
MODELS = 1000  # more than tests, so that each has models to itself
_numbers = count()
_model_numbers = iter(range(1, MODELS))  # model-0 is whose `auto` is; StopIteration: there are more tests now


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def hub_database_url() -> str:
    """A migrated database for hubs that run in processes of their own; the tests' own is emptied between tests.

    It goes with the server: to drop it may be refused, while a worker of PostgreSQL's own tidies it.
    """
    server = os.environ["DATABASE_URL"]
    name = f"hub_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = conninfo_to_dict(server)
    url = f"postgresql://{parts['user']}:{parts['password']}@/{name}?host={parts['host']}"
    manage({**hub_variables(), "DATABASE_URL": url}, "migrate", "--verbosity", "0")
    return url


def hub_variables() -> dict[str, str]:
    return {name: os.environ[name] for name in ("EXAI_DATA_DIR", "REDIS_URL")}


@pytest.fixture(scope="session")
def hub_environment(hub_database_url: str, upstream: Upstream) -> dict[str, str]:
    """The environment of a hub whose only real provider is the upstream."""
    endpoint = {
        "name": "upstream",
        "url": upstream.url,
        "key": "sk-upstream-secret",
        "models": [{"id": f"model-{number}", "context": 100_000} for number in range(MODELS)]
        + [{"id": f"small-{number}", "context": 1_000} for number in range(10)],
    }
    return {
        **hub_variables(),
        "DATABASE_URL": hub_database_url,
        "EXAI_ENDPOINTS": json.dumps([endpoint]),
        "EXAI_WS_PROGRESS_INTERVAL_SECS": "0.2",
        "EXAI_SLOT_LEASE_SECS": "2",
        # The tests' vendors fail on purpose, and all hubs of a session share their breakers.
        "EXAI_BREAKER_OPEN_SECS": "0",
        "EXAI_SECRET_KEY": "a key for the tests, of 32 characters and more",
    }


@pytest.fixture(scope="session")
def hub(hub_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(hub_environment) as hub:
        yield hub


@pytest.fixture
def redis_url() -> str:
    """An empty database of Redis that no other hub of this worker uses: limits hold across all hubs of one."""
    shared = os.environ["REDIS_URL"]
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = shared[: shared.index("db=")] + f"db={_OWN_REDIS_DATABASES + worker}"
    with redis.Redis.from_url(url) as own:
        own.flushdb()
    return url


@pytest.fixture
def make_model() -> Callable[[], str]:
    """Gives models of the upstream that no other test uses."""
    return lambda: f"model-{next(_model_numbers)}"


@pytest.fixture
def model(make_model: Callable[[], str]) -> str:
    """A model of the upstream that no other test uses."""
    return make_model()


@pytest.fixture
def database(hub_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own to the hub's database."""
    with psycopg.connect(hub_database_url, autocommit=True) as connection:
        yield connection


MakeClient = Callable[..., tuple[str, str]]


@pytest.fixture
def make_client(database: psycopg.Connection) -> MakeClient:
    """Makes a client in the hub's database; gives its name and token."""

    def make(
        *, workspace: str | None = None, scopes: tuple[str, ...] = ("tools", "files"), profile: str = "standard"
    ) -> tuple[str, str]:
        name = f"client-{os.getpid()}-{next(_numbers)}"
        token = f"token-of-{name}-which-is-long-enough"
        database.execute(
            "INSERT INTO clients (name, workspace, token_hash, token_start, scopes, tool_profile, enabled, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, true, now())",
            (name, workspace or name, token_hash(token), token[:8], list(scopes), profile),
        )
        return name, token

    return make


@pytest.fixture
def token(make_client: MakeClient) -> str:
    """The token of a client of the test's own."""
    return make_client()[1]

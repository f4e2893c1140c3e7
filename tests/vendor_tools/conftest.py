"""A hub that has both vendors configured, and clients of it."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.hub import RunningHub
from tests.upstream import Upstream
from tests.vendor_tools.agent import GLM_KEY, KIMI_KEY, Agent

_MODELS = 100  # of each vendor: more than tests
_numbers = iter(range(_MODELS))
MakeAgent = Callable[..., Agent]


@pytest.fixture(scope="package")
def vendor_environment(
    hub_environment: dict[str, str], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    catalogue = tmp_path_factory.mktemp("vendors") / "catalogue.json"
    able = {"context": 100_000, "output": 1000, "tools": True, "web_search": True, "vision": True}
    listed = {vendor: [{"id": f"{vendor}-{number}", **able} for number in range(_MODELS)] for vendor in ("kimi", "glm")}
    catalogue.write_text(json.dumps(listed))
    return {
        **hub_environment,
        "MOONSHOT_API_KEY": KIMI_KEY,
        "KIMI_API_URL": upstream.url,
        "ZAI_API_KEY": GLM_KEY,
        "GLM_API_URL": upstream.url,
        "EXAI_CATALOGUE_FILE": str(catalogue),
        "EXAI_DISCOVERY_SECS": "0",
    }


@pytest.fixture(scope="package")
def vendor_hub(vendor_environment: dict[str, str]) -> Iterator[RunningHub]:
    with RunningHub(vendor_environment) as hub:
        yield hub


@pytest.fixture
def make_agent(vendor_hub: RunningHub, make_client: MakeClient) -> MakeAgent:
    """Makes a client with a workspace of its own, unless one is given; at the hub of this package, or another."""

    def make(*, hub: RunningHub = vendor_hub, workspace: str | None = None, admin: bool = False) -> Agent:
        scopes = ("tools", "files", *(("admin",) if admin else ()))
        name, token = make_client(workspace=workspace, scopes=scopes, profile="full")
        return Agent(hub, name, token)

    return make


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


@pytest.fixture
def number() -> int:
    """Names a model of each vendor that no other test uses."""
    return next(_numbers)


@pytest.fixture
def kimi_model(number: int) -> str:
    return f"kimi-{number}"


@pytest.fixture
def glm_model(number: int) -> str:
    return f"glm-{number}"


@pytest.fixture
def vendor(upstream: Upstream) -> Iterator[Upstream]:
    """The upstream, whose behaviour towards the keys is taken back in the end."""
    yield upstream
    for key in (KIMI_KEY, GLM_KEY):
        upstream.behave(key)

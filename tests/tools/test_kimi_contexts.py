"""kimi_capture_headers: what names a context at Kimi."""

from typing import Any

from exai.providers.base import ModelInfo
from exai.providers.registry import Registry
from exai.tools.vendors import NoVendors
from tests.providers.scripted import Scripted
from tests.tools.running import Agent, Run


class Kimi(NoVendors):
    def check(self, vendor: str) -> None:
        assert vendor == "kimi"


async def named(workspace: str = "project", **arguments: Any) -> str:
    """The context of a request with these arguments."""
    provider = Scripted(name="kimi", models=[ModelInfo("kimi-a", 8000)])
    run = Run(Registry([provider]), vendors=Kimi(), caller=Agent(workspace=workspace))
    await run("kimi_capture_headers", messages=[{"role": "user", "content": "Hi"}], **arguments)
    [request] = provider.requests
    return request.conversation


async def test_a_context_is_known_by_a_short_name_however_long_its_session_is_called() -> None:
    # Each is kept in memory as long as its cache token.
    assert len(await named(session_id="s" * 100_000, call_key="k" * 100_000)) <= 100


async def test_contexts_are_told_apart_by_session_key_tool_and_workspace() -> None:
    one: dict[str, Any] = {"session_id": "s", "call_key": "k", "tool_name": "t"}
    names = [await named(**one)]
    names += [await named(**{**one, field: "other"}) for field in one]
    names.append(await named(workspace="other", **one))
    assert len({*names}) == len(names)
    assert await named(**one) == names[0]
    assert await named(tool_name="t") == ""

"""A token without the scope files: its calls neither store files, nor name, fetch, upload or remove them."""

from typing import Any

import psycopg
import pytest

from tests.conftest import MakeClient
from tests.gateway.wire import envelope
from tests.hub import RunningHub
from tests.upstream import Upstream
from tests.vendor_tools.agent import KIMI_KEY, Agent, data_url, uploads

FILE = "the id of a file of the workspace"
INLINE = {"name": "a.txt", "content": "scope of nobody"}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("chat", {"prompt": "?", "files": [INLINE]}),
        ("chat", {"prompt": "?", "files": [FILE]}),
        ("smart_file_query", {"question": "?", "file_path": data_url(b"scope of nobody", "a.txt")}),
        ("smart_file_download", {"file_id": FILE}),
        ("kimi_upload_files", {"files": [INLINE]}),
        ("kimi_chat_with_files", {"prompt": "?", "file_ids": [FILE]}),
        ("kimi_manage_files", {"operation": "list"}),
        ("kimi_manage_files", {"operation": "delete", "file_id": FILE}),
        ("glm_upload_file", {"file": FILE}),
    ],
)
async def test_files_need_the_scope_in_calls_as_they_do_over_http(
    make_client: MakeClient,
    vendor_hub: RunningHub,
    upstream: Upstream,
    database: psycopg.Connection,
    tool: str,
    arguments: dict[str, Any],
) -> None:
    owner = Agent(vendor_hub, *make_client(profile="full"))
    file_id = (await owner.upload("kept.txt", f"kept by {owner.name}"))["file_id"]
    given = {
        field: [file_id] if value == [FILE] else file_id if value == FILE else value
        for field, value in arguments.items()
    }
    _, token = make_client(workspace=owner.name, scopes=("tools",), profile="full")
    error = await Agent(vendor_hub, owner.name, token).refusal(tool, **given)
    assert error["code"] == "UNAUTHORIZED"
    assert "lacks the scope files" in error["message"]
    files = database.execute("SELECT original_name FROM files WHERE workspace = %s", (owner.name,)).fetchall()
    assert files == [("kept.txt",)]
    assert uploads(upstream, KIMI_KEY, "scope of nobody") == []


async def test_without_the_scope_a_client_goes_on_in_a_conversation_with_files(
    make_client: MakeClient, vendor_hub: RunningHub, glm_model: str
) -> None:
    owner = Agent(vendor_hub, *make_client(profile="full"))
    begun = envelope(await owner("chat", prompt="a?", files=[{"name": "a.txt", "content": "a = 1"}], model=glm_model))
    _, token = make_client(workspace=owner.name, scopes=("tools",))
    offer = begun["continuation_offer"]["continuation_id"]
    answered = envelope(await Agent(vendor_hub, owner.name, token)("chat", prompt="And?", continuation_id=offer))
    assert answered["status"] == "continuation_available"

"""docgen: counts the files that are documented, and ends only with the last of them; no model is asked."""

from typing import Any

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from tests.tools.conftest import MakeRegistry
from tests.tools.workflow_rig import Conversation
from tests.upstream import Upstream

WISHES = ("document_complexity", "document_flow", "update_existing", "comments_on_complex_logic")


@pytest.fixture
def conversation(serving: MakeRegistry, model: str) -> Conversation:
    return Conversation(serving(ModelInfo(model, 50_000)))


def count(done: int, total: int, **wishes: bool) -> dict[str, Any]:
    return {**dict.fromkeys(WISHES, True), "num_files_documented": done, "total_files_to_document": total, **wishes}


async def test_files_are_counted_until_all_are_documented(
    conversation: Conversation, upstream: Upstream, model: str
) -> None:
    first = await conversation("docgen", 1, of=3, **count(0, 2))
    assert first.fields["next_call"]["arguments"] | count(0, 2) == first.fields["next_call"]["arguments"]
    one = await conversation("docgen", 2, of=3, **count(1, 2), issues_found=[{"description": "off by one"}])
    assert "1 of 2 files" in one.content
    assert (one.fields["docgen_status"]["num_files_documented"], one.fields["docgen_status"]["issues_found"]) == (1, 1)
    done = await conversation("docgen", 3, of=4, **count(2, 2))
    assert "next_step_required false" in done.content
    last = await conversation("docgen", 4, of=4, **count(2, 2))
    assert (last.status, last.fields["docgen_complete"]) == ("docgen_complete", True)
    assert "2 of 2 files" in last.content
    assert "off by one" in last.content
    assert upstream.requests(model) == []


@pytest.mark.parametrize(("done", "total", "left"), [(0, 1, "1 file is"), (2, 5, "3 files are")])
async def test_a_last_step_with_files_left_is_refused_and_says_how_many(
    conversation: Conversation, done: int, total: int, left: str
) -> None:
    await conversation("docgen", 1, **count(0, total))
    with pytest.raises(InvalidValue) as caught:
        await conversation("docgen", 2, of=2, **count(done, total))
    assert left in caught.value.message
    assert list(caught.value.details) == ["next_step_required"]
    assert (await conversation("docgen", 2, **count(done, total))).status == "pause_for_docgen"


async def test_more_files_than_there_are_is_refused(conversation: Conversation) -> None:
    with pytest.raises(InvalidValue) as caught:
        await conversation("docgen", 1, **count(3, 2))
    assert list(caught.value.details) == ["num_files_documented"]


@pytest.mark.parametrize("wish", WISHES)
async def test_each_wish_changes_what_the_agent_is_told(conversation: Conversation, wish: str) -> None:
    yes = await conversation("docgen", 1, **count(0, 2))
    no = await conversation("docgen", 2, **count(1, 2, **{wish: False}))
    again = await conversation("docgen", 3, **count(1, 2))
    assert no.content != again.content
    assert yes.content != again.content

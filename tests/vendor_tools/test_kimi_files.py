"""Files at Kimi and GLM: uploaded once, asked about, listed and removed, each workspace its own."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from exai.providers.kimi_files import kimi_files
from tests.files.contents import pieces
from tests.gateway.wire import envelope
from tests.providers.addressed import endpoint
from tests.upstream import Upstream
from tests.vendor_tools.agent import GLM_KEY, KIMI_KEY, Agent, chats, uploads
from tests.vendor_tools.conftest import MakeAgent


def at_kimi(upstream: Upstream, method: str, copy_id: str) -> list[str]:
    """The paths of what was asked about a copy."""
    asked = [request for request in upstream.requests(KIMI_KEY) if request.method == method]
    return [request.path for request in asked if copy_id in request.path]


async def stray_file(upstream: Upstream, name: str) -> str:
    """A file at Kimi that the hub knows nothing of; its id."""
    files = kimi_files(endpoint("kimi", upstream.url, KIMI_KEY))
    made = await files.upload(name=name, size_bytes=1, content=pieces(b"x"))
    await files.close()
    return made.id


async def test_files_are_uploaded_once_and_named_by_both_ids(agent: Agent, upstream: Upstream, kimi_model: str) -> None:
    words = [f"one of {kimi_model}", f"two of {kimi_model}"]
    files = [{"name": f"{number}.txt", "content": word} for number, word in enumerate(words)]
    first = await agent.json("kimi_upload_files", files=files, purpose="assistants")
    again = await agent.json("kimi_upload_files", files=[file["file_id"] for file in first["files"]])
    assert again == first
    assert (first["provider"], first["purpose"]) == ("kimi", "file-extract")
    assert [(file["filename"], file["size_bytes"]) for file in first["files"]] == [
        (f"{number}.txt", len(word)) for number, word in enumerate(words)
    ]
    for word in words:
        [request] = uploads(upstream, KIMI_KEY, word)
        assert b'name="purpose"\r\n\r\nfile-extract' in request.raw


async def test_a_file_that_kimi_does_not_take_does_not_keep_the_others_back(agent: Agent, kimi_model: str) -> None:
    files = [{"name": "a.txt", "content": f"a {kimi_model}"}, {"name": "b.xyz", "content": f"b {kimi_model}"}]
    told = await agent.json("kimi_upload_files", files=files)
    assert told["files"][0]["vendor_file_id"].startswith("file-")
    assert (told["files"][1]["filename"], told["files"][1]["code"]) == ("b.xyz", "VALIDATION_ERROR")
    assert ".xyz" in told["files"][1]["error"]
    error = await agent.refusal("kimi_upload_files", files=files[1:])
    assert (error["code"], ".xyz" in error["message"]) == ("VALIDATION_ERROR", True)
    assert (await agent.refusal("kimi_upload_files", files=[]))["code"] == "VALIDATION_ERROR"


async def test_a_vendor_that_fails_is_told_of_without_its_key(agent: Agent, vendor: Upstream, kimi_model: str) -> None:
    vendor.behave(KIMI_KEY, status=401, error_body={"error": {"message": f"bad key {KIMI_KEY}"}})
    error = await agent.refusal("kimi_upload_files", files=[{"name": "a.txt", "content": kimi_model}])
    assert error["code"] == "PROVIDER_ERROR"
    assert "MOONSHOT_API_KEY" in error["message"]
    assert KIMI_KEY not in json.dumps(error)


async def test_a_question_is_sent_with_what_kimi_read_each_file_a_system_message(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    one = await agent.upload("one.txt", f"alpha {kimi_model}")
    two = await agent.upload("two.txt", f"beta {kimi_model}")
    ids = [one["vendor_file_id"], two["file_id"], one["file_id"]]
    upstream.behave(kimi_model, text="Both.")
    frame = await agent("kimi_chat_with_files", prompt="Which?", file_ids=ids, model=kimi_model, temperature=0.5)
    answered = envelope(frame)
    assert (answered["content"], answered["status"]) == ("Both.", "continuation_available")
    assert [file["id"] for file in answered["metadata"]["files"]] == [one["file_id"], two["file_id"]]
    [request] = upstream.requests(kimi_model)
    assert request.body["temperature"] == 0.5
    [_, first, second, question] = request.body["messages"]
    assert [json.loads(message["content"])["content"] for message in (first, second)] == [
        f"alpha {kimi_model}",
        f"beta {kimi_model}",
    ]
    assert {first["role"], second["role"]} == {"system"}
    assert question == {"role": "user", "content": "Which?"}


async def test_a_conversation_stays_with_its_kimi_model_unless_another_is_named(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    begun = envelope(await agent("chat", prompt="Hi", model=kimi_model))
    offer = begun["continuation_offer"]["continuation_id"]
    file = await agent.upload("one.txt", f"alpha {kimi_model}")
    for named in ({}, {"model": "auto"}):
        answered = envelope(
            await agent(
                "kimi_chat_with_files", prompt="Which?", file_ids=[file["file_id"]], continuation_id=offer, **named
            )
        )
        assert answered["metadata"]["model_used"] == kimi_model


async def test_a_file_that_is_asked_about_again_is_sent_once(agent: Agent, upstream: Upstream, kimi_model: str) -> None:
    content = f"alpha {kimi_model}"
    file = await agent.upload("one.txt", content)
    asked: dict[str, Any] = {"file_ids": [file["file_id"]], "model": kimi_model}
    first = envelope(await agent("kimi_chat_with_files", prompt="Which?", **asked))
    offer = first["continuation_offer"]["continuation_id"]
    await agent("kimi_chat_with_files", prompt="And now?", continuation_id=offer, **asked)
    [_, again] = upstream.requests(kimi_model)
    assert json.dumps(again.body["messages"]).count(content) == 1
    [_, document, question, _, _] = again.body["messages"]
    assert document["role"] == "system"
    assert question["content"].startswith("Which?")
    assert "already in this conversation" in question["content"]


async def test_a_copy_that_the_vendor_lost_is_made_anew_for_a_question(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    file = await agent.upload("a.txt", f"gamma {kimi_model}")
    files = kimi_files(endpoint("kimi", upstream.url, KIMI_KEY))
    await files.delete(file["vendor_file_id"])
    await files.close()
    frame = await agent("kimi_chat_with_files", prompt="?", file_ids=[file["file_id"]], model=kimi_model)
    assert frame["ok"], frame
    assert f"gamma {kimi_model}" in chats(upstream, kimi_model)[0][1]["content"]
    assert len(uploads(upstream, KIMI_KEY, f"gamma {kimi_model}")) == 2


async def test_files_of_another_workspace_cannot_be_asked_about_by_either_id(
    make_agent: MakeAgent, upstream: Upstream, kimi_model: str
) -> None:
    owner, other = make_agent(), make_agent()
    file = await owner.upload("a.txt", f"secret {kimi_model}")
    for file_id in (file["file_id"], file["vendor_file_id"], "file-unknown", "../files", "x\ty"):
        error = await other.refusal("kimi_chat_with_files", prompt="?", file_ids=[file_id], model=kimi_model)
        assert error["code"] == "NOT_FOUND"
        assert "secret" not in json.dumps(error)
    assert upstream.requests(kimi_model) == []
    assert at_kimi(upstream, "GET", file["vendor_file_id"]) == []


@pytest.mark.parametrize(
    "arguments", [{"prompt": " "}, {"file_ids": []}, {"file_ids": ["file-1"] * 51}, {"model": "glm-4.6"}]
)
async def test_what_cannot_be_asked_is_refused(agent: Agent, arguments: dict[str, Any]) -> None:
    given = {"prompt": "?", "file_ids": ["file-1"], **arguments}
    assert (await agent.refusal("kimi_chat_with_files", **given))["code"] == "VALIDATION_ERROR"


async def test_files_beyond_the_models_context_are_refused_before_it_is_asked(
    agent: Agent, upstream: Upstream, kimi_model: str
) -> None:
    file = await agent.upload("a.txt", kimi_model + " and so on" * 50_000)
    error = await agent.refusal("kimi_chat_with_files", prompt="?", file_ids=[file["file_id"]], model=kimi_model)
    assert (error["code"], error["details"]["limit"]) == ("CONTENT_TOO_LARGE", 100_000)
    assert upstream.requests(kimi_model) == []


async def test_a_workspace_sees_its_own_copies_only(make_agent: MakeAgent, vendor: Upstream, kimi_model: str) -> None:
    owner, other = make_agent(), make_agent()
    file = await owner.upload("a.txt", f"delta {kimi_model}")
    colleague = make_agent(workspace=owner.name)
    for agent in (owner, colleague):
        listed = await agent.json("kimi_manage_files", operation="list")
        assert (listed["scope"], listed["total"]) == ("workspace", 1)
        [entry] = listed["files"]
        assert {name: entry[name] for name in ("file_id", "vendor_file_id", "filename", "expired")} == {
            "file_id": file["file_id"],
            "vendor_file_id": file["vendor_file_id"],
            "filename": "a.txt",
            "expired": False,
        }
    assert (await other.json("kimi_manage_files", operation="list"))["files"] == []
    for operation in ("cleanup_all", "cleanup_orphaned", "cleanup_expired"):
        assert (await other.json("kimi_manage_files", operation=operation))["removed"] == []
    for file_id in (file["file_id"], file["vendor_file_id"]):
        error = await other.refusal("kimi_manage_files", operation="delete", file_id=file_id)
        assert error["code"] == "NOT_FOUND"
    assert at_kimi(vendor, "DELETE", file["vendor_file_id"]) == []


@pytest.mark.parametrize("by", ["file_id", "vendor_file_id"])
async def test_a_copy_is_deleted_and_the_hubs_file_stays(
    agent: Agent, upstream: Upstream, kimi_model: str, by: str
) -> None:
    file = await agent.upload("a.txt", f"epsilon {kimi_model}")
    dry = await agent.json("kimi_manage_files", operation="delete", file_id=file[by], dry_run=True)
    assert [entry["file_id"] for entry in dry["would_remove"]] == [file["file_id"]]
    assert at_kimi(upstream, "DELETE", file["vendor_file_id"]) == []
    done = await agent.json("kimi_manage_files", operation="delete", file_id=file[by])
    assert [entry["vendor_file_id"] for entry in done["removed"]] == [file["vendor_file_id"]]
    assert at_kimi(upstream, "DELETE", file["vendor_file_id"]) == [f"/v1/files/{file['vendor_file_id']}"]
    assert (await agent.json("kimi_manage_files", operation="list"))["total"] == 0
    assert (await agent.json("smart_file_download", file_id=file["file_id"]))["content"] == f"epsilon {kimi_model}"
    assert (await agent.refusal("kimi_manage_files", operation="delete"))["code"] == "VALIDATION_ERROR"


async def test_cleanup_takes_what_it_names_and_no_more_than_the_limit(
    agent: Agent, database: psycopg.Connection, kimi_model: str
) -> None:
    used, unused, expired = [await agent.upload(f"{n}.txt", f"{n} {kimi_model}") for n in ("used", "unused", "old")]
    await agent("kimi_chat_with_files", prompt="?", file_ids=[used["file_id"], expired["file_id"]], model=kimi_model)
    database.execute(
        "UPDATE files SET metadata = jsonb_set(metadata, '{provider_expiry,kimi}', to_jsonb(now() - interval '1 s'))"
        " WHERE id = %s",
        (expired["file_id"],),
    )

    async def removed(operation: str, **more: Any) -> list[str]:
        done = await agent.json("kimi_manage_files", operation=operation, **more)
        assert done["failed"] == []
        return [entry["file_id"] for entry in done["removed"]]

    assert await removed("cleanup_all", limit=0) == []
    assert await removed("cleanup_all", limit=-1) == []
    assert await removed("cleanup_expired") == [expired["file_id"]]
    assert await removed("cleanup_orphaned") == [unused["file_id"]]
    assert await removed("cleanup_all", limit=1) == [used["file_id"]]


async def test_a_copy_that_cannot_be_removed_is_told_of_and_stays_known(
    agent: Agent, vendor: Upstream, kimi_model: str
) -> None:
    file = await agent.upload("a.txt", f"zeta {kimi_model}")
    vendor.behave(KIMI_KEY, status=503)
    done = await agent.json("kimi_manage_files", operation="cleanup_all")
    assert done["removed"] == []
    assert [entry["vendor_file_id"] for entry in done["failed"]] == [file["vendor_file_id"]]
    assert (await agent.refusal("kimi_manage_files", operation="delete", file_id=file["file_id"]))["code"] == (
        "PROVIDER_ERROR"
    )
    vendor.behave(KIMI_KEY)
    assert (await agent.json("kimi_manage_files", operation="list"))["total"] == 1


async def test_hub_wide_is_for_admins_who_see_what_nobody_knows(
    make_agent: MakeAgent, upstream: Upstream, kimi_model: str
) -> None:
    owner, admin = make_agent(), make_agent(admin=True)
    file = await owner.upload("a.txt", f"eta {kimi_model}")
    stray = await stray_file(upstream, f"{kimi_model}.txt")
    error = await owner.refusal("kimi_manage_files", operation="list", hub_wide=True)
    assert (error["code"], "admin" in error["message"]) == ("UNAUTHORIZED", True)
    assert (await admin.json("kimi_manage_files", operation="list"))["total"] == 0
    listed = await admin.json("kimi_manage_files", operation="list", hub_wide=True, limit=1000)
    known = {entry["vendor_file_id"]: entry["file_id"] for entry in listed["files"]}
    assert (known[file["vendor_file_id"]], known[stray]) == (file["file_id"], None)
    orphaned = await admin.json(
        "kimi_manage_files", operation="cleanup_orphaned", hub_wide=True, dry_run=True, limit=1000
    )
    assert {stray, file["vendor_file_id"]} <= {entry["vendor_file_id"] for entry in orphaned["would_remove"]}
    await admin.json("kimi_manage_files", operation="delete", file_id=stray, hub_wide=True)
    assert at_kimi(upstream, "DELETE", stray) == [f"/v1/files/{stray}"]
    assert (await owner.json("kimi_manage_files", operation="list"))["total"] == 1


async def test_a_file_goes_to_glm_for_its_agents(agent: Agent, upstream: Upstream, glm_model: str) -> None:
    file = await agent.upload("a.txt", f"theta {glm_model}")
    told = await agent.json("glm_upload_file", file=file["file_id"])
    assert (told["provider"], told["purpose"], told["file_id"]) == ("glm", "agent", file["file_id"])
    assert (await agent.json("glm_upload_file", file=file["file_id"]))["vendor_file_id"] == told["vendor_file_id"]
    [request] = uploads(upstream, GLM_KEY, f"theta {glm_model}")
    assert b'name="purpose"\r\n\r\nagent' in request.raw
    other = await agent.refusal("glm_upload_file", file="/etc/passwd")
    assert other["code"] == "VALIDATION_ERROR"


async def test_two_agents_who_upload_the_same_content_get_copies_of_their_own(
    make_agent: MakeAgent, upstream: Upstream, kimi_model: str
) -> None:
    agents = [make_agent(), make_agent()]
    files = await asyncio.gather(*(agent.upload("a.txt", f"iota {kimi_model}") for agent in agents * 2))
    assert len({file["vendor_file_id"] for file in files}) == len({file["file_id"] for file in files}) == 2
    assert len(uploads(upstream, KIMI_KEY, f"iota {kimi_model}")) == 2

"""smart_file_query and smart_file_download, at a hub with both vendors."""

import base64
import json
from typing import Any

import psycopg
import pytest

from exai.tools.prompts import prompt
from exai.tools.smart_file_download import MOST_BYTES
from tests.conftest import MakeClient
from tests.gateway.wire import envelope
from tests.hub import RunningHub
from tests.upstream import Upstream
from tests.vendor_tools.agent import KIMI_KEY, Agent, chats, data_url, uploads
from tests.vendor_tools.conftest import MakeAgent

OLD_WORD = bytes.fromhex("d0cf11e0a1b11ae1") + b"\x00\x01\x02\x03" * 64


async def test_a_question_goes_to_a_model_with_the_file_as_the_hub_reads_it(
    agent: Agent, upstream: Upstream, glm_model: str
) -> None:
    upstream.behave(glm_model, text="It is 7.")
    frame = await agent(
        "smart_file_query", file_path=data_url(b"x = 7\n", "a.py"), question="What is x?", model=glm_model
    )
    answered = envelope(frame)
    assert (answered["content"], answered["content_type"]) == ("It is 7.", "markdown")
    assert answered["metadata"]["file"]["name"] == "a.py"
    assert answered["metadata"]["file"]["read_by"] == "hub"
    [[system, question]] = chats(upstream, glm_model)
    assert system["content"].startswith(prompt("smart_file_query"))
    assert question["content"].startswith("What is x?")
    assert "│ x = 7" in question["content"]


async def test_chat_goes_on_with_the_file(agent: Agent, upstream: Upstream, glm_model: str) -> None:
    first = envelope(
        await agent("smart_file_query", file_path=data_url(b"x = 7\n", "a.py"), question="x?", model=glm_model)
    )
    offer = first["continuation_offer"]["continuation_id"]
    assert first["status"] == "continuation_available"
    await agent("chat", prompt="And y?", continuation_id=offer)
    again = envelope(
        await agent(
            "smart_file_query", file_path=first["metadata"]["file"]["id"], question="And z?", continuation_id=offer
        )
    )
    assert again["metadata"]["model_used"] == glm_model
    asked = [message["content"] for message in chats(upstream, glm_model)[-1] if message["role"] == "user"]
    assert [text.partition("\n")[0] for text in asked] == ["x?", "And y?", "And z?"]
    assert "".join(asked).count("x = 7") == 1


@pytest.mark.parametrize("provider", ["auto", "kimi"])
async def test_what_the_hub_cannot_read_kimi_reads_once(
    agent: Agent, upstream: Upstream, kimi_model: str, provider: str
) -> None:
    content = OLD_WORD + kimi_model.encode() + provider.encode()
    upstream.behave(kimi_model, text="A letter.")
    for question in ("What is it?", "And now?"):
        frame = await agent(
            "smart_file_query",
            file_path=data_url(content, "old.doc"),
            question=question,
            provider=provider,
            model=kimi_model,
        )
        assert envelope(frame)["content"] == "A letter."
        assert envelope(frame)["metadata"]["file"]["read_by"] == "kimi"
    [system, document, question_] = chats(upstream, kimi_model)[0]
    assert prompt("documents") in system["content"]
    assert document["role"] == "system"
    read = json.loads(document["content"])
    assert (read["filename"], kimi_model in read["content"]) == ("old.doc", True)
    assert question_ == {"role": "user", "content": "What is it?"}
    assert len(uploads(upstream, KIMI_KEY, kimi_model + provider)) == 1


async def test_chat_goes_on_after_what_kimi_read(agent: Agent, upstream: Upstream, kimi_model: str) -> None:
    content = OLD_WORD + f"letter {kimi_model}".encode()
    upstream.behave(kimi_model, text="A letter.")
    first = envelope(
        await agent("smart_file_query", file_path=data_url(content, "old.doc"), question="What?", model=kimi_model)
    )
    await agent("chat", prompt="Who wrote it?", continuation_id=first["continuation_offer"]["continuation_id"])
    asked = chats(upstream, kimi_model)[-1]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "user"]
    assert (asked[2]["content"], asked[3]["content"]) == ("A letter.", "Who wrote it?")


async def test_a_file_that_kimi_is_not_to_read_is_refused_with_the_reason(
    agent: Agent, upstream: Upstream, glm_model: str
) -> None:
    wishes: list[dict[str, Any]] = [{"provider": "glm"}, {"model": glm_model}]
    for wish in wishes:
        error = await agent.refusal(
            "smart_file_query", file_path=data_url(OLD_WORD, "old.doc"), question="What?", **wish
        )
        assert error["code"] == "VALIDATION_ERROR"
        assert "old.doc" in error["message"]
        assert "kimi" in error["message"].lower()
    assert upstream.requests(glm_model) == []


async def test_without_kimi_the_hub_says_that_nobody_reads_the_file(hub: RunningHub, make_client: MakeClient) -> None:
    agent = Agent(hub, *make_client(profile="full"))
    error = await agent.refusal("smart_file_query", file_path=data_url(OLD_WORD, "old.doc"), question="What?")
    assert error["code"] == "VALIDATION_ERROR"
    assert "Kimi" in error["message"]
    named = await agent.refusal("smart_file_query", file_path=data_url(b"x", "a.py"), question="?", provider="kimi")
    assert "MOONSHOT_API_KEY" in named["message"]
    assert "Endpoints" in named["message"]


async def test_a_model_of_another_vendor_than_named_is_refused(agent: Agent, glm_model: str) -> None:
    error = await agent.refusal(
        "smart_file_query", file_path=data_url(b"x", "a.py"), question="?", provider="kimi", model=glm_model
    )
    assert (error["code"], glm_model in error["message"]) == ("VALIDATION_ERROR", True)


@pytest.mark.parametrize("arguments", [{"question": " "}, {"file_path": "/etc/passwd"}, {"file_path": "a.py"}])
async def test_an_empty_question_and_a_path_that_is_not_allowed_are_refused(
    agent: Agent, arguments: dict[str, str]
) -> None:
    given = {"file_path": data_url(b"x", "a.py"), "question": "?", **arguments}
    assert (await agent.refusal("smart_file_query", **given))["code"] == "VALIDATION_ERROR"


async def test_a_file_comes_back_as_it_was(agent: Agent, upstream: Upstream, glm_model: str) -> None:
    content = "größe = 1\r\n".encode()
    asked = envelope(
        await agent("smart_file_query", file_path=data_url(content, "a.py"), question="?", model=glm_model)
    )
    file_id = asked["metadata"]["file"]["id"]
    text = await agent.json("smart_file_download", file_id=file_id)
    assert (text["filename"], text["size_bytes"], text["content"]) == ("a.py", len(content), "größe = 1\r\n")
    coded = await agent.json("smart_file_download", file_id=file_id, encoding="base64")
    assert base64.b64decode(coded["content"]) == content


async def test_text_of_what_is_no_text_is_refused(agent: Agent, kimi_model: str) -> None:
    content = OLD_WORD + kimi_model.encode()
    told = await agent.json("kimi_upload_files", files=[data_url(content, "old.doc")])
    file_id = told["files"][0]["file_id"]
    error = await agent.refusal("smart_file_download", file_id=file_id)
    assert (error["code"], "base64" in error["message"]) == ("VALIDATION_ERROR", True)
    coded = await agent.json("smart_file_download", file_id=file_id, encoding="base64")
    assert base64.b64decode(coded["content"]) == content


async def test_a_file_of_another_workspace_or_of_none_is_not_found(make_agent: MakeAgent, kimi_model: str) -> None:
    owner, other = make_agent(), make_agent()
    file = await owner.upload("a.txt", f"secret of {kimi_model}")
    foreign = await other.refusal("smart_file_download", file_id=file["file_id"])
    nowhere = await other.refusal("smart_file_download", file_id="0" * 8 + file["file_id"][8:])
    assert foreign["code"] == nowhere["code"] == "NOT_FOUND"
    assert foreign["message"].split()[1:] == nowhere["message"].split()[1:]
    assert (await other.refusal("smart_file_download", file_id="../a"))["code"] == "NOT_FOUND"
    query = await other.refusal("smart_file_query", file_path=file["file_id"], question="?")
    assert "no file of this workspace" in query["message"]


async def test_a_file_beyond_the_bound_is_refused_with_the_way_to_get_it(
    agent: Agent, database: psycopg.Connection, kimi_model: str
) -> None:
    file = await agent.upload("a.txt", f"small {kimi_model}")
    database.execute("UPDATE files SET size_bytes = %s WHERE id = %s", (MOST_BYTES + 1, file["file_id"]))
    error = await agent.refusal("smart_file_download", file_id=file["file_id"])
    assert error["code"] == "CONTENT_TOO_LARGE"
    assert f"/api/files/{file['file_id']}/content" in error["message"]

"""kimi_chat_with_files: a question to a Kimi model about files, as Kimi itself reads them.

What Moonshot reads out of each is sent as a system message of its own:
https://platform.moonshot.ai/docs/guide/use-kimi-api-for-file-based-qa
"""

import asyncio
from uuid import UUID

import msgspec
from pydantic import Field

from exai.protocol.errors import InvalidValue, NotFound
from exai.protocol.values import FileMention, Turn
from exai.tools.base import Tool, ToolAnswer
from exai.tools.context import ToolContext
from exai.tools.direct import model_of
from exai.tools.prompts import prompt
from exai.tools.vendor_input import Names, VendorInput

MOST_FILES = 50
_MOST_AT_ONCE = 4
_MODEL = "kimi-k2-0905-preview"


class KimiChatWithFilesInput(VendorInput):
    prompt: str = Field(description="The question.")
    file_ids: Names = Field(description="Ids of kimi_upload_files, or of uploads to the hub.")
    model: str = Field(_MODEL, description="A Kimi model; auto: the hub chooses one.")
    temperature: float = Field(0.3, ge=0.0, le=1.0)
    continuation_id: str | None = Field(None, description="Continues the conversation of an earlier answer.")

    @property
    def conversation_to_continue(self) -> str | None:
        return self.continuation_id


class KimiChatWithFiles(Tool[KimiChatWithFilesInput]):
    name = "kimi_chat_with_files"
    description = "Ask a Kimi model about files, read by Kimi itself: for scans and formats that chat refuses."
    input_model = KimiChatWithFilesInput
    keeps_conversation = True

    _system = prompt("kimi_chat_with_files") + "\n\n" + prompt("documents")

    async def run(self, arguments: KimiChatWithFilesInput, context: ToolContext) -> ToolAnswer:
        if not arguments.prompt.strip():
            raise InvalidValue("The prompt is empty: ask something.", prompt="must not be empty")
        named = arguments.model if "model" in arguments.model_fields_set else ""
        served = model_of(context, vendor="kimi", named=named, default=_MODEL)
        files = await _named_files(arguments.file_ids, context)
        documents = await _documents(files, context)
        answer = await context.ask(
            system=self._system,
            prompt=arguments.prompt,
            model=served.qualified_name,
            temperature=arguments.temperature,
            documents=documents,
        )
        metadata: dict[str, object] = {
            "finish_reason": answer.finish_reason,
            "files": [msgspec.to_builtins(file) for file in files],
        }
        if answer.turns_left_out:
            metadata["turns_left_out"] = answer.turns_left_out
        if answer.reasoning:
            metadata["reasoning"] = answer.reasoning
        return ToolAnswer(
            content=answer.text,
            content_type="markdown",
            turn=Turn(user=arguments.prompt, assistant=answer.text, files=files),
            model=answer.model,
            provider=answer.provider,
            usage=answer.usage,
            reasoning=answer.reasoning,
            metadata=metadata,
        )


async def _named_files(ids: list[str], context: ToolContext) -> tuple[FileMention, ...]:
    if not 1 <= len(ids) <= MOST_FILES:
        reason = f"{len(ids)} are named; name 1 to {MOST_FILES}"
        raise InvalidValue(f"file_ids: {reason}.", file_ids=reason)
    found = await context.vendors.find("kimi", ids)
    if unknown := [id_[:100] for id_ in ids if id_ not in found]:
        raise NotFound(f"No files of this workspace: {', '.join(unknown)}. Upload them with kimi_upload_files.")
    return tuple({found[id_].id: found[id_] for id_ in ids}.values())


async def _documents(files: tuple[FileMention, ...], context: ToolContext) -> dict[UUID, str]:
    places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def read(file: FileMention) -> str:
        async with places:
            return await context.vendors.extracted(file)

    await context.progress("Reading the files at kimi")
    try:
        async with asyncio.TaskGroup() as group:
            reading = {file.id: group.create_task(read(file)) for file in files}
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return {id_: task.result() for id_, task in reading.items()}

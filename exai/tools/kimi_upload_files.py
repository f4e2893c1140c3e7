"""kimi_upload_files: files go to Kimi, which reads them for kimi_chat_with_files."""

import asyncio
from typing import Any, Literal

from pydantic import Field

from exai.protocol.errors import HubError, InvalidValue
from exai.protocol.values import FileMention
from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.files import FileReferences
from exai.tools.vendor_input import VendorInput

_MOST_AT_ONCE = 4  # uploads of one call


class KimiUploadFilesInput(VendorInput):
    files: FileReferences = Field(
        description='Each the id of an uploaded file, a data: URL, {"name","content"}, or a path at the hub.'
    )
    purpose: Literal["file-extract", "assistants"] = Field(
        "file-extract", description="Kimi knows file-extract; assistants is taken for it."
    )


class KimiUploadFiles(Tool[KimiUploadFilesInput]):
    name = "kimi_upload_files"
    description = (
        "Upload files to Kimi, which reads scans, old Office files and e-books too; then kimi_chat_with_files."
    )
    input_model = KimiUploadFilesInput

    async def run(self, arguments: KimiUploadFilesInput, context: ToolContext) -> ToolAnswer:
        context.vendors.check("kimi")
        if not arguments.files:
            raise InvalidValue("No file is named.", files="must not be empty")
        files = (await context.files.take({"files": arguments.files}))["files"]
        places = asyncio.Semaphore(_MOST_AT_ONCE)

        async def upload(file: FileMention) -> dict[str, Any] | HubError:
            async with places:
                try:
                    return await uploaded("kimi", file, context)
                except HubError as error:
                    return error

        async with asyncio.TaskGroup() as group:
            uploading = [group.create_task(upload(file)) for file in files]
        results = [task.result() for task in uploading]
        failures = [result for result in results if isinstance(result, HubError)]
        if len(failures) == len(results):
            raise failures[0]
        return json_answer(
            {
                "provider": "kimi",
                "purpose": "file-extract",
                "files": [
                    {"file_id": file.id, "filename": file.name, "error": result.message, "code": result.code.value}
                    if isinstance(result, HubError)
                    else result
                    for file, result in zip(files, results, strict=True)
                ],
            }
        )


async def uploaded(vendor: str, file: FileMention, context: ToolContext) -> dict[str, Any]:
    """`file_id` is the hub's, and stays when the vendor's ends; either names the file to other tools."""
    await context.progress(f"Uploading {file.name} to {vendor}")
    copy = await context.vendors.upload(vendor, file)
    return {
        "file_id": file.id,
        "vendor_file_id": copy.id,
        "filename": copy.name,
        "size_bytes": copy.size_bytes,
        "expires_at": copy.expires_at,
    }

"""smart_file_download: the content of a file of the workspace."""

from uuid import UUID

from pydantic import Field

from exai.protocol.errors import NotFound
from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.files import Encoding
from exai.tools.vendor_input import VendorInput

MOST_BYTES = 10 * 1024 * 1024  # of the file; a result is kept for callers who come back, and read by an agent


class SmartFileDownloadInput(VendorInput):
    file_id: str = Field(description="The id that the upload answered.")
    encoding: Encoding = Field("text", description="base64 for what is no text.")


class SmartFileDownload(Tool[SmartFileDownloadInput]):
    name = "smart_file_download"
    description = "Get the content of an uploaded file back, up to 10 MiB; larger ones by GET /api/files/ID/content."
    input_model = SmartFileDownloadInput

    async def run(self, arguments: SmartFileDownloadInput, context: ToolContext) -> ToolAnswer:
        try:
            file_id = UUID(arguments.file_id)
        except ValueError:
            raise NotFound(f"{arguments.file_id[:100]} is no file of this workspace.") from None
        file = await context.files.download(file_id, encoding=arguments.encoding, most_bytes=MOST_BYTES)
        return json_answer(
            {
                "file_id": file.id,
                "filename": file.name,
                "mime_type": file.mime_type,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "encoding": arguments.encoding,
                "content": file.content,
            }
        )

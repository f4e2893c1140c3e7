"""glm_upload_file: a file goes to Z.ai, for its agents."""

from typing import Literal

from pydantic import Field

from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.kimi_upload_files import uploaded
from exai.tools.vendor_input import VendorInput


class GlmUploadFileInput(VendorInput):
    file: str = Field(description="The id of an uploaded file, a data: URL, or a path at the hub.")
    purpose: Literal["agent"] = "agent"


class GlmUploadFile(Tool[GlmUploadFileInput]):
    name = "glm_upload_file"
    description = "Upload a file to GLM (Z.ai), for its agents; to ask about a file use smart_file_query."
    input_model = GlmUploadFileInput

    async def run(self, arguments: GlmUploadFileInput, context: ToolContext) -> ToolAnswer:
        context.vendors.check("glm")
        [file] = (await context.files.take({"file": (arguments.file,)}))["file"]
        return json_answer({"provider": "glm", "purpose": arguments.purpose, **await uploaded("glm", file, context)})

"""Kimi's files: Moonshot reads the text out of them, which its models are then sent as a system message.
https://platform.moonshot.ai/docs/api/files"""

from exai.providers.endpoint import Endpoint
from exai.providers.files import FileRules, checked_id
from exai.providers.openai_files import OpenAIFiles

# As the page lists them; «and more» is not said to be what.
_SUFFIXES = """
.pdf .txt .csv .doc .docx .xls .xlsx .ppt .pptx .md .jpeg .jpg .png .bmp .gif .svg .svgz .webp .ico .xbm .dib .pjp .tif
.pjpeg .avif .dot .apng .epub .tiff .jfif .html .json .mobi .log .go .h .c .cpp .cxx .cc .cs .java .js .css .jsp .php
.py .py3 .asp .yaml .yml .ini .conf .ts .tsx
"""
RULES = FileRules(purpose="file-extract", max_bytes=100 * 2**20, suffixes=frozenset(_SUFFIXES.split()))


class KimiFiles(OpenAIFiles):
    async def content(self, file_id: str) -> str:
        """JSON with the text and what kind of file it was, for a system message as it is."""
        answer = await self._endpoint.request("GET", f"/files/{checked_id(file_id)}/content", of="file")
        return answer.decode(errors="replace").replace("\x00", "\ufffd")


def kimi_files(endpoint: Endpoint) -> KimiFiles:
    return KimiFiles(endpoint, RULES, page_size=None)

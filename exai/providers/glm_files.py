"""GLM's files, for its agents; what is in them cannot be read back.
https://docs.z.ai/api-reference/agents/file-upload

The size is the bound of the same API's Chinese page, the smaller of the two that are documented:
https://docs.bigmodel.cn/api-reference/文件-api/上传文件
"""

from exai.providers.endpoint import Endpoint
from exai.providers.files import FileRules
from exai.providers.openai_files import OpenAIFiles

_SUFFIXES = ".pdf .doc .docx .xls .xlsx .ppt .pptx .txt .csv .jpg .jpeg .png"
RULES = FileRules(
    purpose="agent",
    max_bytes=20 * 2**20,
    suffixes=frozenset(_SUFFIXES.split()),
)
_PAGE_SIZE = 100  # the most


def glm_files(endpoint: Endpoint) -> OpenAIFiles:
    return OpenAIFiles(endpoint, RULES, page_size=_PAGE_SIZE)

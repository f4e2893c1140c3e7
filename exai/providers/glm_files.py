"""GLM's files, for its agents; what is in them cannot be read back.
https://docs.z.ai/api-reference/agents/file-upload

The size is the bound of the same API's Chinese page, the smaller of the two that are documented:
https://docs.bigmodel.cn/api-reference/文件-api/上传文件
"""

from exai.providers.endpoint import Endpoint
from exai.providers.files import FileRules
from exai.providers.glm import KEY_SETTING, NAME
from exai.providers.openai_files import OpenAIFiles

_SUFFIXES = ".pdf .doc .docx .xls .xlsx .ppt .pptx .txt .csv .jpg .jpeg .png"
RULES = FileRules(
    purpose="agent",
    max_bytes=20 * 2**20,
    suffixes=frozenset(_SUFFIXES.split()),
)
_PAGE_SIZE = 100  # the most


def glm_files(*, key: str, base_url: str, connect_timeout_s: float, read_timeout_s: float) -> OpenAIFiles:
    endpoint = Endpoint(
        name=NAME,
        base_url=base_url,
        key=key,
        key_setting=KEY_SETTING,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
    )
    return OpenAIFiles(endpoint, RULES, page_size=_PAGE_SIZE)

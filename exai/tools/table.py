"""Every tool, in the order in which they are listed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from exai.tools.activity import Activity
from exai.tools.analyze import Analyze
from exai.tools.base import Tool
from exai.tools.challenge import Challenge
from exai.tools.chat import Chat
from exai.tools.codereview import CodeReview
from exai.tools.consensus import Consensus
from exai.tools.debug import Debug
from exai.tools.docgen import DocGen
from exai.tools.glm_payload_preview import GlmPayloadPreview
from exai.tools.glm_upload_file import GlmUploadFile
from exai.tools.glm_web_search import GlmWebSearch
from exai.tools.health import Health
from exai.tools.kimi_capture_headers import KimiCaptureHeaders
from exai.tools.kimi_chat_with_files import KimiChatWithFiles
from exai.tools.kimi_chat_with_tools import KimiChatWithTools
from exai.tools.kimi_intent_analysis import KimiIntentAnalysis
from exai.tools.kimi_manage_files import KimiManageFiles
from exai.tools.kimi_upload_files import KimiUploadFiles
from exai.tools.listmodels import ListModels
from exai.tools.planner import Planner
from exai.tools.precommit import Precommit
from exai.tools.provider_capabilities import ProviderCapabilities
from exai.tools.refactor import Refactor
from exai.tools.secaudit import SecAudit
from exai.tools.self_check import SelfCheck
from exai.tools.smart_file_download import SmartFileDownload
from exai.tools.smart_file_query import SmartFileQuery
from exai.tools.status import Status
from exai.tools.testgen import GenerateTests
from exai.tools.thinkdeep import ThinkDeep
from exai.tools.tracer import Tracer
from exai.tools.version import Version

TOOLS: tuple[Tool[Any], ...] = (
    Chat(),
    Challenge(),
    ThinkDeep(),
    Debug(),
    Analyze(),
    CodeReview(),
    Refactor(),
    SecAudit(),
    GenerateTests(),
    Precommit(),
    Planner(),
    Tracer(),
    DocGen(),
    Consensus(),
    ListModels(),
    Version(),
    Status(),
    Health(),
    SmartFileQuery(),
    SmartFileDownload(),
    KimiUploadFiles(),
    KimiChatWithFiles(),
    KimiManageFiles(),
    GlmUploadFile(),
    KimiChatWithTools(),
    KimiIntentAnalysis(),
    KimiCaptureHeaders(),
    GlmWebSearch(),
    GlmPayloadPreview(),
    Activity(),
    ProviderCapabilities(),
    SelfCheck(),
)

TOOLS_BY_NAME: Mapping[str, Tool[Any]] = MappingProxyType({tool.name: tool for tool in TOOLS})

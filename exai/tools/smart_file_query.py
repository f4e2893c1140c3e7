"""smart_file_query: a question about one file, whatever kind of file it is.

What the hub can read it sends itself; what it cannot (a scan, an old Word file) Kimi reads, where that is configured.
"""

from typing import Literal

import msgspec
from pydantic import ConfigDict, Field

from exai.protocol.errors import InvalidValue, NotFound
from exai.protocol.values import FileMention, Turn
from exai.providers.registry import AUTO
from exai.tools.base import Tool, ToolAnswer
from exai.tools.context import ModelAnswer, ToolContext
from exai.tools.direct import model_of
from exai.tools.prompts import prompt
from exai.tools.vendor_input import VendorInput


class SmartFileQueryInput(VendorInput):
    model_config = ConfigDict(extra="ignore")

    file_path: str = Field(description="A file id, a data: URL, or a path at the hub")
    question: str
    provider: Literal["auto", "kimi", "glm"] = "auto"
    model: str = AUTO
    continuation_id: str | None = Field(None, description="From an earlier answer")

    @property
    def conversation_to_continue(self) -> str | None:
        return self.continuation_id


class SmartFileQuery(Tool[SmartFileQueryInput]):
    name = "smart_file_query"
    description = (
        "Ask a model about one file that you need not read yourself: text, code, PDF, Office document or image."
    )
    input_model = SmartFileQueryInput
    keeps_conversation = True

    _system = prompt("smart_file_query")
    _about_documents = prompt("documents")

    async def run(self, arguments: SmartFileQueryInput, context: ToolContext) -> ToolAnswer:
        if not arguments.question.strip():
            raise InvalidValue("The question is empty: ask something.", question="must not be empty")
        vendor = "" if arguments.provider == AUTO else arguments.provider
        model = arguments.model
        if vendor:
            context.vendors.check(vendor)
            if model.strip().lower() not in ("", AUTO):
                model = model_of(context, vendor=vendor, named=model).qualified_name
        [file] = (await context.files.take({"file_path": (arguments.file_path,)}))["file_path"]
        facts = (await context.files.look((file,))).get(file.id)
        if facts is None:
            raise NotFound(f"The file {file.name} has been removed.")
        if facts.problem:
            self._check_kimi(file, facts.problem, vendor, model, context)
            document = await context.vendors.extracted(file)
            answer = await context.ask(
                system=f"{self._system}\n\n{self._about_documents}",
                prompt=arguments.question,
                model=model,
                vendor="kimi",
                documents={file.id: document},
            )
        else:
            answer = await context.ask(
                system=self._system, prompt=arguments.question, model=model, vendor=vendor, files=(file,)
            )
        return _told(arguments.question, file, answer, read_by="kimi" if facts.problem else "hub")

    def _check_kimi(self, file: FileMention, problem: str, vendor: str, model: str, context: ToolContext) -> None:
        """Raises `InvalidValue` where Kimi is not to read the file, or cannot."""
        named = None if model.strip().lower() in ("", AUTO) else context.registry.named(model)
        if vendor not in ("", "kimi") or (named is not None and named.provider.name != "kimi"):
            raise InvalidValue(
                f"{file.name}: {problem} Kimi may read it: ask again with provider kimi.", file_path=problem
            )
        if not context.vendors.reads(file):
            raise InvalidValue(
                f"{file.name}: {problem} Kimi does not read it either: it is not configured, or takes no such file.",
                file_path=problem,
            )


def _told(question: str, file: FileMention, answer: ModelAnswer, *, read_by: str) -> ToolAnswer:
    metadata: dict[str, object] = {
        "finish_reason": answer.finish_reason,
        **answer.choice,
        "file": {"id": str(file.id), "name": file.name, "read_by": read_by},
    }
    parts = [sent.parts for sent in answer.files if sent.parts]
    if parts:
        metadata["parts"] = parts[0]
    if answer.turns_left_out:
        metadata["turns_left_out"] = answer.turns_left_out
    if answer.reasoning:
        metadata["reasoning"] = answer.reasoning
    if answer.sources:
        metadata["sources"] = [msgspec.to_builtins(source) for source in answer.sources]
    return ToolAnswer(
        content=answer.text,
        content_type="markdown",
        turn=Turn(user=question, assistant=answer.text, files=(file,)),
        model=answer.model,
        provider=answer.provider,
        usage=answer.usage,
        reasoning=answer.reasoning,
        metadata=metadata,
    )

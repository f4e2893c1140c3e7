"""Runs workflow tools as the gateway does: each step is kept in a conversation, and the next one finds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exai.providers.registry import Registry
from exai.tools.base import ToolAnswer
from exai.tools.files import Files
from exai.tools.steps import Step
from exai.tools.table import TOOLS_BY_NAME
from tests.tools.running import Run


@dataclass
class Conversation:
    """What one conversation keeps, of all tools."""

    registry: Registry
    files: Files | None = None
    steps: dict[str, list[Step]] = field(default_factory=dict)

    async def __call__(self, tool: str, number: int, *, of: int = 5, **given: Any) -> ToolAnswer:
        """One step, the last where `of` is its number."""
        kept = self.steps.setdefault(tool, [])
        run = Run(self.registry, steps=kept, continues=bool(self.steps_of_all), files=self.files)
        arguments: Mapping[str, Any] = {
            "step": f"Step {number}",
            "step_number": number,
            "total_steps": max(of, number),
            "next_step_required": number < of,
            **({"findings": f"Found {number}"} if _reports(tool) else {}),
            **given,
        }
        answer = await run(tool, **{name: value for name, value in arguments.items() if value is not None})
        assert answer.step is not None
        kept.append(answer.step)
        return answer

    @property
    def steps_of_all(self) -> list[Step]:
        return [step for steps in self.steps.values() for step in steps]


def _reports(tool: str) -> bool:
    return "findings" in TOOLS_BY_NAME[tool].input_model.model_fields

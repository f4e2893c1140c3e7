"""challenge: has the agent think again about what it is told, instead of agreeing. No model is asked."""

from pydantic import Field

from exai.protocol.errors import InvalidValue
from exai.tools.base import Tool, ToolAnswer, ToolInput
from exai.tools.context import ToolContext
from exai.tools.prompts import prompt


class ChallengeInput(ToolInput):
    prompt: str = Field(description="The claim or doubt, in the user's words")


class Challenge(Tool[ChallengeInput]):
    name = "challenge"
    description = (
        "Before you agree with a user who doubts or contradicts you: gives the claim back with how to examine it. No "
        "model is asked."
    )
    input_model = ChallengeInput

    _how = prompt("challenge")

    async def run(self, arguments: ChallengeInput, context: ToolContext) -> ToolAnswer:
        if not arguments.prompt.strip():
            raise InvalidValue("The prompt is empty: say what is to be examined.", prompt="must not be empty")
        return ToolAnswer(content=f"{self._how}\n\nThe claim:\n{arguments.prompt.strip()}", content_type="markdown")

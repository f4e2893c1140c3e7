"""A provider that does what a test tells it: the seam at which wrappers are tried."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from exai.protocol.errors import HubError, ProviderFailed, ProviderUnreachable
from exai.protocol.values import Usage
from exai.providers.base import AnswerEvent, Finished, ModelInfo, ModelRequest, TextDelta

END = Finished("stop", Usage(input_tokens=1, output_tokens=2))
ANSWER: tuple[AnswerEvent, ...] = (TextDelta("good "), TextDelta("morning"), END)
SILENCE = 3600.0

Step = AnswerEvent | HubError | float


class Scripted:
    """Each request takes the next script, and the last one for ever: events are sent, errors raised, and so many
    seconds waited."""

    is_test = False

    def __init__(self, *scripts: Sequence[Step], name: str = "vendor", models: Sequence[ModelInfo] = ()) -> None:
        self.name = name
        self.models = models
        self.requests: list[ModelRequest] = []
        self.times: list[float] = []
        self.closed = 0
        self.asked = asyncio.Event()
        self._scripts = scripts or (ANSWER,)

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        self.asked.set()
        self.times.append(asyncio.get_running_loop().time())
        try:
            for step in script:
                if isinstance(step, HubError):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


def status(code: int, *, retryable: bool = True, retry_after: float | None = None) -> ProviderFailed:
    failed = ProviderFailed(f"vendor failed with status {code}.", provider="vendor", status=code, retryable=retryable)
    if retry_after is not None:
        failed.details["retry_after"] = retry_after
    return failed


def unreachable() -> ProviderUnreachable:
    return ProviderUnreachable("vendor cannot be reached.", provider="vendor", retryable=True)

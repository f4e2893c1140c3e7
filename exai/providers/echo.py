"""The built-in test model: it streams back what it was sent, so that every path works without any key."""

from collections.abc import AsyncGenerator

from exai.protocol.values import Usage
from exai.providers.base import AnswerEvent, Finished, ModelInfo, ModelRequest, TextDelta
from exai.providers.images import check_images
from exai.providers.prices import FREE
from exai.providers.tokens import estimate_tokens

MODEL = "exai-echo"
_MOST_PIECES = 64


class Echo:
    name = "exai"
    is_test = True
    models = (ModelInfo(id=MODEL, context=1_000_000, price=FREE),)

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        check_images(request, self.models[0])
        said = request.messages[-1].content
        answer = f"{MODEL} is a test model and repeats what it is sent: {said}"
        step = max(8, len(answer) // _MOST_PIECES)
        for start in range(0, len(answer), step):
            yield TextDelta(answer[start : start + step])
        yield Finished(
            reason="stop",
            usage=Usage(
                input_tokens=sum(estimate_tokens(message.content) for message in request.messages),
                output_tokens=estimate_tokens(answer),
            ),
        )

    async def close(self) -> None:
        pass

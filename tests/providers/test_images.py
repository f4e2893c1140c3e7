"""Images for models that see, and words for those who send them to one that does not."""

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ChatMessage, ModelInfo, ModelRequest
from exai.providers.echo import MODEL, Echo
from exai.providers.kimi import KimiDialect
from tests.providers.asking import Endpoints, answer, failure
from tests.upstream import Upstream

INLINE = "data:image/png;base64,iVBORw0KGgo="
ADDRESS = "https://example.org/cat.png"


def shown(model: str, *images: str, text: str = "What is it?") -> ModelRequest:
    return ModelRequest(model, (ChatMessage("system", "Look."), ChatMessage("user", text, images=images)))


async def test_images_are_sent_as_parts_before_the_text(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, vision=True)])
    assert (await answer(provider, shown(model, INLINE, ADDRESS))).text == "You said: What is it?"
    assert upstream.requests(model)[0].body["messages"] == [
        {"role": "system", "content": "Look."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": INLINE}},
                {"type": "image_url", "image_url": {"url": ADDRESS}},
                {"type": "text", "text": "What is it?"},
            ],
        },
    ]


async def test_an_image_without_words_is_sent_without_words(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, vision=True)])
    await answer(provider, shown(model, INLINE, text=""))
    [part] = upstream.requests(model)[0].body["messages"][1]["content"]
    assert part["type"] == "image_url"


@pytest.mark.parametrize("known", [True, False])
async def test_a_model_without_vision_is_sent_no_image(
    upstream: Upstream, endpoints: Endpoints, model: str, known: bool
) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000)] if known else ())
    failed = await failure(provider, shown(model, INLINE))
    assert isinstance(failed, InvalidValue)
    assert f"{model} sees no images" in failed.message
    assert list(failed.details) == ["images"]
    assert upstream.requests(model) == []


async def test_the_test_model_sees_no_images_either() -> None:
    assert "sees no images" in (await failure(Echo(), shown(MODEL, INLINE))).message


@pytest.mark.parametrize("image", ["http://example.org/a.png", "file:///etc/passwd", "data:text/html,x", "", "cat.png"])
async def test_what_is_no_image_is_refused_in_words(
    upstream: Upstream, endpoints: Endpoints, model: str, image: str
) -> None:
    failed = await failure(endpoints.make(models=[ModelInfo(model, 8000, vision=True)]), shown(model, INLINE, image))
    assert isinstance(failed, InvalidValue)
    assert "data:image/" in failed.message
    assert upstream.requests(model) == []


async def test_kimi_is_sent_inline_images_only(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    provider = endpoints.make(models=[ModelInfo(model, 8000, vision=True)], dialect=KimiDialect())
    failed = await failure(provider, shown(model, ADDRESS))
    assert isinstance(failed, InvalidValue)
    assert "https" not in failed.message
    assert upstream.requests(model) == []
    assert (await answer(provider, shown(model, INLINE))).text

"""Which of the built-in models call functions and search, as the vendors' pages say."""

from exai.providers.base import ModelInfo
from exai.providers.catalogue import load_catalogue


def models() -> list[ModelInfo]:
    return [model for vendor in load_catalogue().values() for model in vendor]


def test_models_that_search_also_call_functions() -> None:
    assert all(model.tools for model in models() if model.web_search)


def test_models_that_only_think_or_look_do_not_search() -> None:
    unable = {model.id for model in models() if not model.web_search}
    assert unable == {
        "kimi-thinking-preview",
        "moonshot-v1-8k-vision-preview",
        "moonshot-v1-32k-vision-preview",
        "moonshot-v1-128k-vision-preview",
        "glm-4.5v",
    }
    assert {model.id for model in models() if not model.tools} == {"kimi-thinking-preview", "glm-4.5v"}

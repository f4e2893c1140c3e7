"""The models that the hub knows of, and what an operator's own file makes of them."""

from pathlib import Path

import msgspec
import pytest

from exai.providers.base import ModelInfo
from exai.providers.catalogue import CatalogueError, load_catalogue

# provider, id, context, output, abilities (v vision, t thinking), aliases; in order of preference.
KNOWN = [
    ("kimi", "kimi-k2-0905-preview", 262_144, 8192, "v", ("kimi-k2", "kimi-k2-0905")),
    ("kimi", "kimi-k2-turbo-preview", 262_144, 8192, "v", ("kimi-k2-turbo",)),
    ("kimi", "kimi-k2-0711-preview", 131_072, 8192, "", ("kimi-k2-0711",)),
    ("kimi", "kimi-thinking-preview", 131_072, 8192, "vt", ("kimi-thinking",)),
    ("kimi", "kimi-latest", 131_072, None, "v", ()),
    ("kimi", "kimi-latest-8k", 8192, None, "v", ()),
    ("kimi", "kimi-latest-32k", 32_768, None, "v", ()),
    ("kimi", "kimi-latest-128k", 131_072, None, "v", ()),
    ("kimi", "moonshot-v1-8k", 8192, None, "", ()),
    ("kimi", "moonshot-v1-32k", 32_768, None, "", ()),
    ("kimi", "moonshot-v1-128k", 131_072, None, "", ()),
    ("kimi", "moonshot-v1-8k-vision-preview", 8192, None, "v", ()),
    ("kimi", "moonshot-v1-32k-vision-preview", 32_768, None, "v", ()),
    ("kimi", "moonshot-v1-128k-vision-preview", 131_072, None, "v", ()),
    ("glm", "glm-4.6", 200_000, None, "vt", ()),
    ("glm", "glm-4.5", 128_000, None, "t", ()),
    ("glm", "glm-4.5-air", 128_000, None, "t", ("glm-4.5-x",)),
    ("glm", "glm-4.5-flash", 128_000, None, "", ()),
    ("glm", "glm-4.5v", 65_536, None, "v", ()),
]


def described(provider: str, model: ModelInfo) -> tuple[object, ...]:
    abilities = "v" * model.vision + "t" * model.thinking
    return provider, model.id, model.context, model.output, abilities, model.aliases


def extension(path: Path, content: object) -> Path:
    path.write_bytes(msgspec.json.encode(content))
    return path


def test_every_known_model_is_there_with_its_bounds_abilities_and_aliases() -> None:
    catalogue = load_catalogue()
    assert [described(provider, model) for provider, models in catalogue.items() for model in models] == KNOWN


def test_no_name_means_two_models() -> None:
    names = [name for _, model_id, _, _, _, aliases in KNOWN for name in (model_id, *aliases)]
    assert len(names) == len(set(names))


def test_a_file_adds_models_at_the_end(tmp_path: Path) -> None:
    file = extension(tmp_path / "models.json", {"glm": [{"id": "glm-5", "context": 1000, "aliases": ["glm"]}]})
    models = load_catalogue(file)["glm"]
    assert [model.id for model in models] == ["glm-4.6", "glm-4.5", "glm-4.5-air", "glm-4.5-flash", "glm-4.5v", "glm-5"]
    assert models[-1] == ModelInfo("glm-5", 1000, aliases=("glm",))
    assert load_catalogue(file)["kimi"] == load_catalogue()["kimi"]


def test_a_file_replaces_models_which_keep_their_place(tmp_path: Path) -> None:
    file = extension(tmp_path / "models.json", {"glm": [{"id": "glm-4.6", "context": 1000}]})
    models = load_catalogue(file)["glm"]
    assert models[0] == ModelInfo("glm-4.6", 1000)
    assert models[1:] == load_catalogue()["glm"][1:]


def test_a_file_does_not_change_the_catalogue_of_others(tmp_path: Path) -> None:
    load_catalogue(extension(tmp_path / "models.json", {"glm": [{"id": "glm-4.6", "context": 1000}]}))
    assert load_catalogue()["glm"][0].context == 200_000


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"glm":[{"id":"a"}]}', "context"),
        ('{"glm":[{"id":"a","context":"many"}]}', "context"),
        ('{"glm":[{"id":"a","context":1,"vison":true}]}', "vison"),
        ('{"glm":{"id":"a"}}', "array"),
        ("[]", "object"),
        ("{", "truncated"),
        ("", "truncated"),
        ("{\xff}", "malformed"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_place(tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / "models.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    assert str(path) in str(caught.value)
    assert place in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "models.json", tmp_path):
        with pytest.raises(CatalogueError) as caught:
            load_catalogue(path)
        assert f"The catalogue {path} cannot be read" in str(caught.value)

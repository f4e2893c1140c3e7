"""EXAI_CATALOGUE_FILE is read when the settings are: a wrong one stops the hub at its start, not at its first call."""

import json
from pathlib import Path

import pytest

from exai.providers.base import Price
from exai.providers.catalogue import load_catalogue
from exai.settings.hub import ConfigurationError, parse
from exai.settings.server import PROJECT_DIR

NAME = "EXAI_CATALOGUE_FILE"


def problems(path: Path | str, **others: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse({NAME: str(path), **others})
    return caught.value.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models.json"


def test_a_file_that_is_right_is_taken(file: Path) -> None:
    model = {"id": "m", "context": 1, "output": None, "vision": True, "thinking": False, "aliases": ["a"]}
    file.write_text(json.dumps({"kimi": [model, {"id": "n", "context": 2}], "glm": []}))
    assert parse({NAME: str(file)}).catalogue_file == file
    assert len(load_catalogue(file)["kimi"]) == len(load_catalogue()["kimi"]) + 2


def test_abilities_and_a_price_are_taken(file: Path) -> None:
    price = {"input": 0.6, "output": 2, "cached": None, "version": "v"}
    model = {"id": "m", "context": 1, "tools": True, "web_search": True, "timeout_factor": 2.5, "price": price}
    file.write_text(json.dumps({"mine": [model]}))
    assert parse({NAME: str(file)}).catalogue_file == file
    (read,) = load_catalogue(file)["mine"]
    assert (read.tools, read.web_search, read.timeout_factor) == (True, True, 2.5)
    assert read.price == Price(input=0.6, output=2, version="v")


@pytest.mark.parametrize(
    ("price", "wrong"),
    [
        ({"input": -1, "output": 1}, "glm[0].price.input: should be greater than or equal to 0"),
        ({"input": 1}, "glm[0].price.output: is missing"),
        ({"input": 1, "output": "much"}, "glm[0].price.output: should be a valid number"),
        ({"input": 1, "output": 1, "per": "token"}, "glm[0].price.per: there is no such field"),
    ],
)
def test_a_price_that_makes_no_sense_is_named_with_its_place(file: Path, price: object, wrong: str) -> None:
    file.write_text(json.dumps({"glm": [{"id": "a", "context": 1, "price": price}]}))
    assert wrong in problems(file)[0]


def test_the_built_in_catalogue_is_of_that_form() -> None:
    built_in = PROJECT_DIR / "exai" / "providers" / "catalogue.json"
    assert parse({NAME: str(built_in)}).catalogue_file == built_in


def test_a_relative_path_is_taken_from_the_project_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    relative = "exai/providers/catalogue.json"
    assert parse({NAME: relative}).catalogue_file == PROJECT_DIR / relative


def test_a_file_that_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    assert problems(file) == [f"{NAME}={str(file)!r}: cannot be read: No such file or directory"]
    assert problems(tmp_path) == [f"{NAME}={str(tmp_path)!r}: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{", "should be JSON"),
        ("", "should be JSON"),
        ("{\xff}", "should be JSON"),
        ("[" * 100_000, "should be JSON"),
        ("[]", "should be JSON of the form"),
        ('{"glm":{"id":"a"}}', "glm: should be a list"),
        ('{"glm":["a"]}', "glm[0]: should be"),
        ('{"glm":[{"id":"a"}]}', "glm[0].context: is missing"),
        ('{"glm":[{"id":"a","context":"many"}]}', "glm[0].context: should be a valid integer"),
        ('{"glm":[{"id":"a","context":0}]}', "glm[0].context: should be greater than 0"),
        ('{"glm":[{"id":"a","context":1.5}]}', "glm[0].context: should be a valid integer"),
        ('{"glm":[{"id":"","context":1}]}', "glm[0].id: String should have at least 1 character"),
        ('{"glm":[{"id":"a","context":1,"vison":true}]}', "glm[0].vison: there is no such field"),
        ('{"glm":[{"id":"a","context":1,"aliases":[5]}]}', "glm[0].aliases[0]: should be a valid string"),
        (r'{"glm":[{"id":"\ud83d","context":1}]}', "should be JSON"),
    ],
)
def test_a_file_of_another_form_is_named_with_the_place(file: Path, content: str, wrong: str) -> None:
    file.write_text(content, encoding="latin-1")
    [problem] = problems(file)
    assert problem.startswith(f"{NAME}={str(file)!r}: ")
    assert wrong in problem


def test_everything_wrong_in_it_and_beside_it_is_told_at_once(file: Path) -> None:
    file.write_text('{"kimi":[{"id":"a"},{"context":5}],"glm":[{"id":5,"context":-1}]}')
    told = problems(file, EXAI_PORT="0")
    assert len(told) == 2
    for place in ("kimi[0].context", "kimi[1].id", "glm[0].id", "glm[0].context"):
        assert place in " ".join(told)


def test_a_file_with_many_faults_is_told_in_part(file: Path) -> None:
    file.write_text(json.dumps({"kimi": [{}] * 10_000}))
    [problem] = problems(file)
    assert len(problem) < 1000
    assert problem.endswith("; and 19990 more")

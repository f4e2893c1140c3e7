"""Which provider serves which model."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from exai.protocol.errors import ErrorCode, InvalidValue
from exai.providers.base import AnswerEvent, ModelInfo, ModelRequest
from exai.providers.echo import MODEL, Echo
from exai.providers.registry import Registry
from exai.providers.routes import Routes


class Listed:
    """A provider that is only listed, never asked."""

    is_test = False

    def __init__(self, name: str, *models: ModelInfo) -> None:
        self.name = name
        self.models: Sequence[ModelInfo] = models
        self.closed = False

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        raise AssertionError("The registry asks nobody")
        yield

    async def close(self) -> None:
        self.closed = True


def model(model_id: str, *aliases: str) -> ModelInfo:
    return ModelInfo(model_id, 1000, aliases=aliases)


FIRST = Listed("first", model("Large-1", "large"), model("shared", "both"), model("second/shared", "second/both"))
SECOND = Listed("second", model("shared", "both"), model("large", "Other"))
REGISTRY = Registry([FIRST, SECOND, Echo()])


@pytest.mark.parametrize(
    ("name", "provider", "model_id"),
    [
        ("Large-1", "first", "Large-1"),
        ("large-1", "first", "Large-1"),
        (" LARGE-1 ", "first", "Large-1"),
        ("other", "second", "large"),
        ("first/large-1", "first", "Large-1"),
        ("First/Large", "first", "Large-1"),
        # Where two have a name the first has it; with its provider's name the other is found.
        ("shared", "first", "shared"),
        ("both", "first", "shared"),
        ("large", "first", "Large-1"),
        ("second/shared", "second", "shared"),
        ("second/both", "second", "shared"),
        ("second/large", "second", "large"),
        ("first/second/shared", "first", "second/shared"),
        (MODEL, "exai", MODEL),
    ],
)
def test_a_model_is_found_by_id_alias_and_provider_in_any_case(name: str, provider: str, model_id: str) -> None:
    served = REGISTRY.named(name)
    assert (served.provider.name, served.info.id) == (provider, model_id)
    assert REGISTRY.find(name) == served


@pytest.mark.parametrize("name", ["", "none", "first", "first/", "/shared", "first/other", "auto"])
def test_an_unknown_model_is_an_error_that_lists_what_there_is(name: str) -> None:
    assert REGISTRY.find(name) is None
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.named(name)
    assert caught.value.code == ErrorCode.VALIDATION_ERROR
    assert f"Large-1, shared, second/shared, shared, large, {MODEL}" in caught.value.message
    assert list(caught.value.details) == ["model"]


def test_a_name_of_any_length_is_repeated_in_part_only() -> None:
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.named("x" * 100_000)
    assert len(caught.value.message) < 500


def test_models_are_listed_in_order_of_preference() -> None:
    listed = [(served.provider.name, served.info.id) for served in REGISTRY]
    assert listed == [
        ("first", "Large-1"),
        ("first", "shared"),
        ("first", "second/shared"),
        ("second", "shared"),
        ("second", "large"),
        ("exai", MODEL),
    ]


def test_the_automatic_model_is_the_first_of_the_first_real_provider() -> None:
    assert REGISTRY.automatic().info.id == "Large-1"
    assert Registry([Echo(), SECOND]).automatic().info.id == "shared"
    assert Registry([Listed("empty"), SECOND]).automatic().provider is SECOND


def test_the_automatic_model_is_the_test_model_when_there_is_no_other() -> None:
    assert Registry([Echo()]).automatic().info.id == MODEL
    assert Registry([Listed("empty"), Echo()]).automatic().info.id == MODEL


async def test_closing_the_registry_closes_every_provider() -> None:
    providers = Listed("a"), Listed("b")
    await Registry(providers).close()
    assert all(provider.closed for provider in providers)


def test_a_model_that_is_only_offered_takes_no_name_from_a_listed_one() -> None:
    offering = Listed("offering", ModelInfo("shared", 1000, listed=False), ModelInfo("new", 1000, listed=False))
    registry = Registry([offering, SECOND, Echo()])
    assert registry.named("shared").provider is SECOND
    assert registry.named("offering/shared").provider is offering
    assert registry.named("new").provider is offering


def test_the_automatic_model_is_a_listed_one_unless_no_real_one_is() -> None:
    offering = Listed("offering", ModelInfo("new", 1000, listed=False))
    assert Registry([offering, SECOND, Echo()]).automatic().provider is SECOND
    assert Registry([offering, Echo()]).automatic().info.id == "new"


def test_what_the_operator_says_beside_the_models_is_kept() -> None:
    registry = Registry([Echo()], routes=Routes(fast=("a", "b")), problems=["p"], disabled=["d"])
    assert (registry.routes.fast, registry.problems, registry.disabled) == (("a", "b"), ("p",), ("d",))
    assert (Registry([]).routes, Registry([]).problems, Registry([]).disabled) == (Routes(), (), ())

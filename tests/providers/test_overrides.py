"""The models of a provider: what is listed, what an operator says, what the endpoint offers."""

from exai.providers.base import ModelInfo, Price
from exai.providers.overrides import DEFAULT_CONTEXT, ModelOverride, OfferedModel, models_of

PRICE = Price(input=1, output=2, version="v")
LISTED = (ModelInfo("Large", 1000, output=10, vision=True, aliases=("l",), price=PRICE), ModelInfo("small", 500))


def test_without_more_the_models_are_the_listed_ones() -> None:
    assert models_of(listed=LISTED) == LISTED


def test_an_override_changes_what_it_says_and_leaves_the_rest_and_the_place() -> None:
    first, second = models_of(listed=LISTED, overrides=[ModelOverride("large", context=2000, thinking=True)])
    assert first == ModelInfo("Large", 2000, output=10, vision=True, thinking=True, aliases=("l",), price=PRICE)
    assert second == LISTED[1]


def test_an_override_can_take_an_ability_and_all_aliases_away() -> None:
    (first, _) = models_of(listed=LISTED, overrides=[ModelOverride("Large", vision=False, aliases=())])
    assert (first.vision, first.aliases) == (False, ())


def test_an_override_of_an_unknown_model_adds_it_after_the_listed_ones() -> None:
    added = models_of(listed=LISTED, overrides=[ModelOverride("mine", tools=True)])[-1]
    assert added == ModelInfo("mine", DEFAULT_CONTEXT, tools=True)
    assert added.listed


def test_a_disabled_model_is_gone_even_if_the_endpoint_offers_it() -> None:
    left = models_of(
        listed=LISTED, overrides=[ModelOverride("Large", enabled=False)], offered=[OfferedModel("large", 5000)]
    )
    assert left == LISTED[1:]


def test_a_model_that_only_the_endpoint_knows_comes_last_with_safe_values_and_is_not_listed() -> None:
    *known, found, other = models_of(listed=LISTED, offered=[OfferedModel("new", 32_000), OfferedModel("odd")])
    assert tuple(known) == LISTED
    assert found == ModelInfo("new", 32_000, listed=False)
    assert other == ModelInfo("odd", DEFAULT_CONTEXT, listed=False)
    assert (found.price, found.tools, found.vision) == (None, False, False)


def test_an_offer_changes_nothing_of_a_model_that_is_known_by_id_or_alias_in_any_case() -> None:
    assert models_of(listed=LISTED, offered=[OfferedModel("LARGE", 9), OfferedModel("L"), OfferedModel("small")]) == (
        LISTED
    )


def test_an_added_model_takes_its_context_from_the_endpoint_unless_the_operator_says_it() -> None:
    offered = [OfferedModel("mine", 32_000)]
    assert models_of(listed=(), overrides=[ModelOverride("mine")], offered=offered)[0].context == 32_000
    assert models_of(listed=(), overrides=[ModelOverride("mine", context=9000)], offered=offered)[0].context == 9000


def test_the_operators_price_wins_and_reaches_offered_models() -> None:
    dear = Price(input=9, output=9, version="dear")
    models = models_of(listed=LISTED, prices={"Large": dear, "new": dear}, offered=[OfferedModel("new")])
    assert [model.price for model in models] == [dear, None, dear]

"""challenge: gives a claim back to the agent with how to examine it; no model is asked."""

import pytest

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo
from exai.tools.prompts import prompt
from tests.tools.conftest import MakeRegistry
from tests.tools.running import Run
from tests.upstream import Upstream


async def test_the_claim_comes_back_as_it_was_after_how_to_examine_it(
    serving: MakeRegistry, upstream: Upstream, model: str
) -> None:
    claim = 'You are wrong: {"a": 1} % s\nis no JSON.'
    answer = await Run(serving(ModelInfo(model, 50_000)))("challenge", prompt=f" {claim}\n")
    assert answer.content == f"{prompt('challenge')}\n\nThe claim:\n{claim}"
    assert (answer.status, answer.turn, answer.step) == ("success", None, None)
    assert upstream.requests(model) == []


async def test_an_empty_claim_is_refused(serving: MakeRegistry, model: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await Run(serving(ModelInfo(model, 50_000)))("challenge", prompt=" \n")
    assert list(caught.value.details) == ["prompt"]

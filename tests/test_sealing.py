"""Keys in the database open for this hub and for their own endpoint only."""

import pytest

from exai.sealing import SealBroken, seal, unseal

SECRET = "the hub's secret, of 32 characters and more"
KEY = "sk-0123456789abcdef"


def test_what_is_sealed_opens_again_and_does_not_show() -> None:
    sealed = seal(KEY, secret=SECRET, endpoint="kimi")
    assert KEY not in sealed
    assert unseal(sealed, secret=SECRET, endpoint="kimi") == KEY


def test_the_same_key_is_sealed_differently_each_time() -> None:
    assert seal(KEY, secret=SECRET, endpoint="kimi") != seal(KEY, secret=SECRET, endpoint="kimi")


def test_it_does_not_open_by_another_secret_nor_for_another_endpoint() -> None:
    sealed = seal(KEY, secret=SECRET, endpoint="kimi")
    for secret, endpoint in ((SECRET + "x", "kimi"), (SECRET, "glm")):
        with pytest.raises(SealBroken):
            unseal(sealed, secret=secret, endpoint=endpoint)


@pytest.mark.parametrize("place", [3, 20, -1])
def test_it_does_not_open_when_it_was_changed(place: int) -> None:
    sealed = list(seal(KEY, secret=SECRET, endpoint="kimi"))
    sealed[place] = "A" if sealed[place] != "A" else "B"
    with pytest.raises(SealBroken):
        unseal("".join(sealed), secret=SECRET, endpoint="kimi")


@pytest.mark.parametrize("sealed", ["", "v1:", "v1:AAAA", "v2:AAAA", KEY, "v1:ümlaut", "v1:%%%"])
def test_what_was_never_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(SealBroken):
        unseal(sealed, secret=SECRET, endpoint="kimi")

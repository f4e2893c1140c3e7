"""Which headers of a vendor's answer anybody may see."""

import pytest

from exai.providers.safe_headers import safe_headers


@pytest.mark.parametrize(
    "name",
    [
        "X-RateLimit-Limit-Requests",
        "RateLimit-Policy",
        "Retry-After",
        "x-request-id",
        "Msh-Context-Cache-Token",
        "Date",
    ],
)
def test_limits_ids_and_caches_are_told_by_their_names_in_lower_case(name: str) -> None:
    assert safe_headers({name: "v"}, secret="") == {name.lower(): "v"}


@pytest.mark.parametrize(
    "name",
    ["Set-Cookie", "Authorization", "Proxy-Authenticate", "X-Api-Key", "OpenAI-Organization", "X-Amz-Security-Token"],
)
def test_what_is_not_known_to_be_harmless_is_not_told(name: str) -> None:
    assert safe_headers({name: "v"}, secret="") == {}


def test_the_key_is_cut_out_of_every_value() -> None:
    assert safe_headers({"X-Request-Id": "a-sk-secret-b"}, secret="sk-secret") == {"x-request-id": "a-…-b"}


def test_there_is_an_end_to_what_is_told() -> None:
    many = {f"x-ratelimit-{number}": "v" * 5000 for number in range(200)}
    safe = safe_headers(many, secret="")
    assert len(safe) == 64
    assert {len(value) for value in safe.values()} == {1024}

"""Z.ai's search without a model."""

from collections.abc import AsyncIterator

import pytest

from exai.protocol.errors import InvalidValue, ProviderFailed
from exai.providers.base import Source
from exai.providers.glm_search import LONGEST_QUERY, FoundPage, GlmSearch
from tests.providers.addressed import endpoint
from tests.providers.wire import WHOLE, vendor_that_sends
from tests.upstream import Upstream

PAGES = [
    {
        "title": "One",
        "link": "https://a.example",
        "content": "What it says",
        "media": "A",
        "publish_date": "2026-01-02",
    },
    {"title": "No address"},
]


def searching(url: str, key: str) -> GlmSearch:
    return GlmSearch(endpoint("glm", url, key, read_timeout_s=0.5))


@pytest.fixture
async def search(upstream: Upstream, model: str) -> AsyncIterator[GlmSearch]:
    search = searching(upstream.url, model)
    yield search
    await search.close()


async def test_the_pages_come_with_what_they_say(upstream: Upstream, search: GlmSearch, model: str) -> None:
    upstream.behave(model, sources=PAGES)
    found = await search.search(" weather ", count=3, recency="oneDay", domain="a.example")
    assert found == (FoundPage(Source("https://a.example", "One", "2026-01-02"), "What it says", "A"),)
    [request] = upstream.requests(model)
    assert (request.method, request.path) == ("POST", "/v1/web_search")
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "search_engine": "search-prime",
        "search_query": "weather",
        "count": 3,
        "search_recency_filter": "oneDay",
        "search_domain_filter": "a.example",
    }


async def test_another_engine_and_ids_of_the_caller_go_along(upstream: Upstream, search: GlmSearch, model: str) -> None:
    await search.search("weather", engine="search_pro", request_id="r-1", user_id="u-1")
    [request] = upstream.requests(model)
    assert {name: request.body[name] for name in ("search_engine", "request_id", "user_id")} == {
        "search_engine": "search_pro",
        "request_id": "r-1",
        "user_id": "u-1",
    }
    assert "search_domain_filter" not in request.body


@pytest.mark.parametrize(("query", "count"), [("", 1), (" ", 1), ("x" * (LONGEST_QUERY + 1), 1), ("x", 0), ("x", 51)])
async def test_what_cannot_be_searched_is_refused_in_words(
    upstream: Upstream, search: GlmSearch, model: str, query: str, count: int
) -> None:
    with pytest.raises(InvalidValue):
        await search.search(query, count=count)
    assert upstream.requests(model) == []


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (404, False), (429, True), (500, True)])
async def test_a_refused_search_says_why(
    upstream: Upstream, search: GlmSearch, model: str, status: int, retryable: bool
) -> None:
    upstream.behave(model, status=status, retry_after=3)
    with pytest.raises(ProviderFailed) as caught:
        await search.search("x")
    details = {"provider": "glm", "status": status, "retryable": retryable, "retry_after": 3}
    assert caught.value.details == details
    assert ("THE_KEY" in caught.value.message) is (status == 401)
    assert model not in caught.value.message


async def test_a_silent_search_is_given_up(upstream: Upstream, search: GlmSearch, model: str) -> None:
    upstream.behave(model, delay_s=60)
    with pytest.raises(ProviderFailed, match="silent for too long"):
        await search.search("x")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"\xff", b'{"search_result":["\xff"]}', b'{"search_result":5}']
)
async def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    async with vendor_that_sends(body, head=WHOLE) as wire:
        search = searching(wire.url, "k")
        with pytest.raises(ProviderFailed, match="no answer"):
            await search.search("x")
        await search.close()


@pytest.mark.parametrize("body", [b"{}", b'{"search_result":null}', b'{"search_result":[5,{}]}'])
async def test_finding_nothing_is_no_failure(body: bytes) -> None:
    async with vendor_that_sends(body, head=WHOLE) as wire:
        search = searching(wire.url, "k")
        assert await search.search("x") == ()
        await search.close()

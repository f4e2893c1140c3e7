"""What is made of an endpoint's own list of models, which may be anything."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exai.providers import discovery
from exai.providers.discovery import MOST_MODELS, DiscoveryFailed, offered_models
from exai.providers.overrides import OfferedModel
from tests.upstream import Upstream

KEY = "sk-test-0123456789abcdef"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The base URL of an endpoint that answers like this."""
    app = web.Application()
    app.router.add_get("/v1/models", handler)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


async def offered(body: bytes, status: int = 200) -> tuple[OfferedModel, ...]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(answer) as url:
        return await offered_models(base_url=url, key=KEY)


def listing(*rows: object) -> bytes:
    return json.dumps({"object": "list", "data": rows}).encode()


async def test_the_models_are_listed_in_the_endpoints_order(upstream: Upstream) -> None:
    assert OfferedModel("steady") in await offered_models(base_url=upstream.url, key="")
    assert await offered(listing({"id": "b"}, {"id": "a", "object": "model"})) == (OfferedModel("b"), OfferedModel("a"))


async def test_the_key_is_sent_and_none_when_there_is_none() -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=listing())

    async with serving(answer) as url:
        for key in (KEY, ""):
            assert await offered_models(base_url=url, key=key) == ()
    assert seen == [f"Bearer {KEY}", None]


@pytest.mark.parametrize(
    ("row", "context"),
    [
        ({"context_length": 131_072}, 131_072),
        ({"max_model_len": 4096}, 4096),
        ({"context_length": None, "max_model_len": 4096}, 4096),
        ({"context_length": "131072"}, None),
        ({"context_length": True}, None),
        ({"context_length": -5}, None),
        ({"context_length": 10**30}, None),
        ({}, None),
    ],
)
async def test_the_context_is_taken_where_it_is_a_plausible_number(row: dict[str, object], context: int | None) -> None:
    assert await offered(listing({"id": "m", **row})) == (OfferedModel("m", context),)


async def test_rows_without_a_usable_id_are_passed_over_and_a_repeated_one_counts_once() -> None:
    rows = [{"id": 5}, {"id": ""}, {"id": "x" * 201}, {"id": "a\nb"}, {}, {"id": "good"}, {"id": "good", "n": 1}]
    assert await offered(listing(*rows)) == (OfferedModel("good"),)


async def test_no_more_models_are_taken_than_anybody_could_choose_from() -> None:
    rows = [{"id": f"m{number}"} for number in range(MOST_MODELS + 100)]
    assert len(await offered(listing(*rows))) == MOST_MODELS


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"data":5}', b'{"data":["m"]}', b"\xff\xfe", b"<html>", b"[" * 100_000],
)
async def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DiscoveryFailed, match="no list"):
        await offered(body)


@pytest.mark.parametrize("status", [204, 302, 401, 404, 500])
async def test_another_status_is_told_and_no_redirect_followed(status: int) -> None:
    with pytest.raises(DiscoveryFailed, match=str(status)):
        await offered(listing({"id": "m"}), status)


async def test_an_endless_list_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_LARGEST_BODY", 10_000)
    with pytest.raises(DiscoveryFailed, match="too long"):
        await offered(b" " * 20_000)


async def test_a_silent_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_PATIENCE_S", 0.1)

    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(answer) as url:
        with pytest.raises(DiscoveryFailed, match="Timeout"):
            await offered_models(base_url=url, key=KEY)


async def test_an_endpoint_that_is_down_is_told_without_its_key() -> None:
    with pytest.raises(DiscoveryFailed) as caught:
        await offered_models(base_url="http://127.0.0.1:1/v1", key=KEY)
    assert KEY not in str(caught.value)

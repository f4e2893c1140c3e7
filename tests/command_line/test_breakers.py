"""manage.py breakers: shows what is left alone, and resets it."""

import asyncio

import pytest

from exai.calls.breakers import SharedBreakers
from exai.calls.process import Process
from exai.providers.breaker import BreakerRules, Outcome
from tests.calls.links import a_link, until
from tests.hub import manage


async def test_an_open_breaker_is_listed_and_reset(hub_environment: dict[str, str], redis_url: str) -> None:
    environment = {**hub_environment, "REDIS_URL": redis_url}

    async def run(*arguments: str) -> str:
        return (await asyncio.to_thread(manage, environment, "breakers", *arguments)).strip()

    assert await run("list") == "All breakers are closed."
    async with a_link(redis_url) as link:
        process = Process(link, lease_s=30)
        breakers = SharedBreakers(link, process, BreakerRules(open_s=3000))
        await process.start()
        for _ in range(5):
            breakers.leave("kimi", await breakers.enter("kimi"), Outcome.FAILED)
        await until(lambda: breakers.standing("kimi").state == "open")
        assert (await run("list")).startswith("kimi: open, tried again in ")
        assert await run("reset", "kimi") == "kimi is asked again."
        await until(lambda: breakers.standing("kimi").state == "closed")
        assert await run("reset", "kimi") == "The breaker of kimi was closed already."
        await process.stop()


def test_without_redis_the_command_says_so(hub_environment: dict[str, str]) -> None:
    environment = {**hub_environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
    with pytest.raises(RuntimeError, match="Redis is away"):
        manage(environment, "breakers", "list")

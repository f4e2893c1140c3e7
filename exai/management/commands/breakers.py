"""manage.py breakers: which providers are left alone after failures; and asks one again at once."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exai.calls.breakers import read_breakers, reset_breaker
from exai.calls.redis_link import RedisAway, RedisLink
from exai.settings.hub import hub_settings


class Command(BaseCommand):
    help = "List the providers that are left alone after failures, or reset one: it is asked again at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        deeds.add_parser("list", help="providers whose breaker is open or half-open")
        reset = deeds.add_parser("reset", help="close a provider's breaker in all processes")
        reset.add_argument("provider")

    def handle(self, *args: Any, **options: Any) -> None:
        url = hub_settings().redis_url
        if url is None:
            raise CommandError("There is no REDIS_URL: the breakers of a hub are kept there.")
        try:
            said = asyncio.run(_run(url.get_secret_value(), options.get("provider")))
        except RedisAway as error:
            raise CommandError(f"Redis is away: {error.reason}") from None
        self.stdout.write(said)


async def _run(url: str, provider: str | None) -> str:
    link = RedisLink(url)
    try:
        if provider is not None:
            was_open = await reset_breaker(link, provider)
            return f"{provider} is asked again." if was_open else f"The breaker of {provider} was closed already."
        standing = await read_breakers(link)
    finally:
        await link.close()
    if not standing:
        return "All breakers are closed."
    return "\n".join(
        f"{name}: open, tried again in {left_s:.0f} s" if left_s else f"{name}: half-open, the next call tries it"
        for name, left_s in sorted(standing.items())
    )

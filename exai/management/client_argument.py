"""The argument of commands that are about one client."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from exai.models import ApiClient


def add_client_argument(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="the client's name")


def named_client(name: str) -> ApiClient:
    try:
        return ApiClient.objects.get(name=name)
    except ApiClient.DoesNotExist:
        known = ", ".join(ApiClient.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no client {name!r}. There are: {known}.") from None

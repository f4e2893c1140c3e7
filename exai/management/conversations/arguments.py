"""The words of `manage.py conversations`."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.management.base import CommandError

from conversations.exporting import ExportFormat
from conversations.models import Conversation
from exai.management.client_argument import named_client
from exai.models import ApiClient
from exai.protocol.errors import HubError, NotFound


class Reach(NamedTuple):
    """Whose conversations a command may touch. `workspace` None: all."""

    workspace: str | None
    client: ApiClient | None = None


def add_arguments(parser: ArgumentParser) -> None:
    deeds = parser.add_subparsers(
        dest="deed", required=True, metavar="list|search|show|export|fork|rename|delete|restore"
    )

    listing = _deed(deeds, "list", "conversations, last used first")
    listing.add_argument("--model", type=_text, default="", help="whose last answer was this model's")
    listing.add_argument("--since", type=_moment, metavar="DATE", help="used since then; ISO 8601, UTC")
    listing.add_argument("--bin", action="store_true", help="those that were deleted and can be restored")
    listing.add_argument("--limit", type=_count, default=50, metavar="N", help="at most 200; by default 50")
    listing.add_argument("--after", metavar="TOKEN", help="the next page: what the one before printed")

    searching = _deed(deeds, "search", "messages and titles by their words, newest first")
    searching.add_argument(
        "words",
        type=_text,
        nargs="+",
        help="all of them must be there; also, in quotes as a whole: 'this or that', 'one -another', '\"a phrase\"', "
        "'begin*'",
    )
    searching.add_argument("--limit", type=_count, default=20, metavar="N", help="at most 100; by default 20")
    searching.add_argument("--after", type=int, metavar="NUMBER", help="the next page: what the one before printed")

    showing = _of_one(deeds, "show", "facts and messages: the newest 50")
    showing.add_argument("--before", type=int, metavar="POSITION", help="the messages before this one")
    showing.add_argument("--limit", type=_count, default=50, metavar="N", help="at most 500; by default 50")

    exporting = _of_one(deeds, "export", "the whole conversation, to standard output", as_json=False)
    exporting.add_argument("--format", choices=list(ExportFormat), default=ExportFormat.MARKDOWN)
    exporting.add_argument("--output", metavar="FILE", help="a new file")

    forking = _of_one(deeds, "fork", "a new conversation that begins as this one did")
    forking.add_argument("--turn", type=_count, metavar="N", help="with its first N turns; by default with all")

    renaming = _of_one(deeds, "rename", "another title")
    renaming.add_argument("title", type=_text)

    _of_one(deeds, "delete", "to the bin, from which it can be restored for a while")
    _of_one(deeds, "restore", "out of the bin")


def reach_of(options: dict[str, Any]) -> Reach:
    """Raises `CommandError` for what there is not."""
    if options["all_workspaces"]:
        return Reach(None)
    if options["client"]:
        client = named_client(options["client"])
        return Reach(client.workspace, client)
    known = ApiClient.objects.order_by("workspace").values_list("workspace", flat=True).distinct()
    # A workspace that its clients have left keeps its conversations.
    if options["workspace"] not in known and not Conversation.objects.filter(workspace=options["workspace"]).exists():
        raise CommandError(
            f"There is no workspace {options['workspace']!r}. There are: {', '.join(known) or 'none yet'}."
        )
    return Reach(options["workspace"])


def in_words(error: HubError) -> CommandError:
    """An error of the hub for people at a terminal."""
    hint = (
        " `conversations list` shows those that there are, with --bin the deleted ones."
        if isinstance(error, NotFound)
        else ""
    )
    return CommandError(error.message + hint)


def _deed(deeds: Any, name: str, what: str, *, as_json: bool = True) -> ArgumentParser:
    parser: ArgumentParser = deeds.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    reach = parser.add_mutually_exclusive_group(required=True)
    reach.add_argument("--workspace", metavar="W", help="in this workspace")
    reach.add_argument(
        "--client", metavar="NAME", help="in the workspace of this client; lists and finds its own, forks for it"
    )
    reach.add_argument("--all-workspaces", action="store_true", help="in all of them, as an operator")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _of_one(deeds: Any, name: str, what: str, *, as_json: bool = True) -> ArgumentParser:
    parser = _deed(deeds, name, what, as_json=as_json)
    parser.add_argument("id", help="the continuation id, or the beginning of it: 4 characters or more")
    return parser


def _text(given: str) -> str:
    if given != given.encode("utf-8", "replace").decode():
        raise ArgumentTypeError("this is no text in UTF-8")
    return given


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date; write 2026-11-01 or 2026-11-01T09:30+11:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)

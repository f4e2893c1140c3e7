"""Conversations as a list, last used first, and one of them by the beginning of its id."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from django.db.models import F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from conversations.models import Conversation, Message
from exai.protocol.errors import InvalidValue, NotFound

MOST_A_PAGE = 200


class Chosen(NamedTuple):
    """Which conversations. `workspace` None: of all, which is for operators alone."""

    workspace: str | None
    client: str = ""
    model: str = ""
    since: datetime | None = None  # used since then
    in_bin: bool = False


class Place(NamedTuple):
    """Where a page ends. As text it is a token that says nothing to callers."""

    updated_at: datetime
    id: int

    def __str__(self) -> str:
        return urlsafe_b64encode(f"{self.updated_at.isoformat()} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def of(cls, token: str) -> Self:
        """Raises `InvalidValue`."""
        try:
            moment, number = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)).decode().split(" ")
            place = cls(datetime.fromisoformat(moment), int(number))
            if place.updated_at.tzinfo is None or not 0 <= place.id < 2**63:
                raise ValueError
            return place
        except (ValueError, NoBase64):
            raise InvalidValue(
                "This is no place in the list: take `next` of the page before.", after="no token of a page"
            ) from None


class Listed(NamedTuple):
    """A line of the list. `turns`: whole ones."""

    id: int
    continuation_id: UUID
    title: str
    workspace: str
    client: str
    model: str
    turns: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class ListPage(NamedTuple):
    conversations: list[Listed]
    next: Place | None
    """Where the next, older page begins; None: there is none."""


def conversations_listed(chosen: Chosen, *, after: Place | None = None, limit: int = 50) -> ListPage:
    """A page, last used first; paged by key. A conversation that is used meanwhile moves to the front."""
    limit = max(1, min(limit, MOST_A_PAGE))
    found = _conversations(chosen).order_by(
        # As the index of a workspace has it.
        "-updated_at" if chosen.workspace is None else F("updated_at").desc(nulls_last=True),
        "-id",
    )
    if after is not None:
        found = found.filter(updated_at__lte=after.updated_at).exclude(updated_at=after.updated_at, id__gte=after.id)
    rows = [
        Listed(*row)
        for row in found.annotate(turns=turns_of("pk")).values_list(
            *("id", "continuation_id", "title", "workspace", "client__name", "model", "turns"),
            *("created_at", "updated_at", "deleted_at"),
        )[: limit + 1]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return ListPage(rows[:limit], Place(last.updated_at, last.id) if last else None)


def turns_of(conversation: str) -> Coalesce:
    """The number of turns, by the last position: the index knows it."""
    last = Message.objects.filter(conversation=OuterRef(conversation)).order_by("-position").values("position")[:1]
    return Coalesce((Subquery(last) + 1) / 2, 0, output_field=IntegerField())


def the_conversation(id_or_beginning: str, *, workspace: str | None, in_bin: bool | None = False) -> Conversation:
    """The one conversation whose id this is, or begins like this. `in_bin` None: wherever it is.

    Raises `NotFound`, in the same words for one of another workspace, and `InvalidValue` when several begin so.
    """
    given = id_or_beginning.strip().lower()
    digits = given.replace("-", "")
    if len(digits) < 4 or len(digits) > 32 or set(digits) - set("0123456789abcdef"):
        raise _not_found()
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = Conversation.objects.select_related("client").filter(continuation_id__range=(first, last))
    if workspace is not None:
        found = found.filter(workspace=workspace)
    if in_bin is not None:
        found = found.filter(deleted_at__isnull=not in_bin)
    several = list(found.order_by("continuation_id")[:2])
    if not several:
        raise _not_found()
    if len(several) > 1:
        raise InvalidValue(f"Several conversations begin with {given}: write more of the id.", id="not unambiguous")
    return several[0]


def _conversations(chosen: Chosen) -> QuerySet[Conversation]:
    found = Conversation.objects.filter(deleted_at__isnull=not chosen.in_bin)
    if chosen.workspace is not None:
        found = found.filter(workspace=chosen.workspace)
    if chosen.client:
        found = found.filter(client__name=chosen.client)
    if chosen.model:
        # `provider/model` as well: that is how answers name it.
        found = found.filter(Q(model=chosen.model) | Q(model=chosen.model.partition("/")[2] or chosen.model))
    if chosen.since:
        found = found.filter(updated_at__gte=chosen.since)
    return found


def _not_found() -> NotFound:
    return NotFound("There is no such conversation.", continuation_id="not found")

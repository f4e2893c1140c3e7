"""How the admin's list of conversations is narrowed, searched and counted, at a cost that does not grow with it."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, cast

from django.contrib.admin import SimpleListFilter
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from conversations.listing import the_conversation
from conversations.models import Conversation
from conversations.searching import MOST_A_PAGE, search
from exai.models import ApiClient
from exai.protocol.errors import InvalidValue, NotFound

MOST_COUNTED = 10_000
MOST_FOUND = 500  # conversations
_RECENT = 1_000  # conversations whose models are offered


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than to 10,000: to count millions of rows for one figure takes longer than to show the page."""

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list).order_by()
        return len(rows.values_list("pk")[:MOST_COUNTED])


class WorkspaceFilter(SimpleListFilter):
    title, parameter_name = "workspace", "workspace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = ApiClient.objects.order_by("workspace").values_list("workspace", flat=True).distinct()
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        return queryset.filter(workspace=self.value()) if self.value() else queryset


class ModelFilter(SimpleListFilter):
    """The models of late, and whichever is asked for."""

    title, parameter_name = "model", "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        recent = set(Conversation.objects.order_by("-updated_at").values_list("model", flat=True)[:_RECENT])
        recent |= {request.GET.get("model", "")}
        return [(name, name) for name in sorted(recent) if name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class BinFilter(SimpleListFilter):
    """Without a choice: those that are not in the bin."""

    title, parameter_name = "bin", "bin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "In the bin")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": "Not deleted"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        return queryset.filter(deleted_at__isnull=self.value() != "yes")


def ids_found(asked: str, workspace: str | None, *, in_bin: bool) -> list[int]:
    """Of the conversations whose messages or titles hold these words: the newest 500; or whose id begins so.
    Raises `SearchTooBroad`."""
    found: dict[Any, None] = {}
    before = None
    for _ in range(MOST_FOUND // MOST_A_PAGE):
        page = search(asked, workspace=workspace, in_bin=in_bin, before=before, limit=MOST_A_PAGE)
        found |= dict.fromkeys(hit.continuation_id for hit in page.hits)
        before = page.before
        if before is None:
            break
    ids = list(Conversation.objects.filter(continuation_id__in=found).values_list("pk", flat=True))
    with suppress(NotFound, InvalidValue):
        ids.append(the_conversation(asked, workspace=workspace, in_bin=None).pk)
    return ids

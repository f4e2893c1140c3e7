"""The files of a client's workspace: listed, described, downloaded, deleted. Uploads are taken by exai.api.uploads."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from conversations.files.cleanup import InUse, file_remove
from conversations.models import Conversation, StoredFile
from exai.api.answers import Conflict, json_answer
from exai.gateway.authentication import AuthenticatedClient
from exai.protocol.errors import InvalidValue, NotFound

MOST_A_PAGE = 500
_PAGE = 50
_MOST_CONVERSATIONS = 100
_CURSOR = re.compile(r"(\d{1,17})-([0-9a-f-]{36})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def list_files(request: HttpRequest, client: AuthenticatedClient) -> HttpResponseBase:
    """`?limit=` (50, at most 500) `&before=` (the `next` of the page before): newest first."""
    limit = _limit(request.GET.get("limit"))
    files = StoredFile.objects.filter(workspace=client.workspace).order_by("-created_at", "id")
    if (before := request.GET.get("before")) is not None:
        created_at, id_ = _read_cursor(before)
        # The first condition is what the index is entered by.
        files = files.filter(created_at__lte=created_at).filter(Q(created_at__lt=created_at) | Q(id__gt=id_))
    page = list(files[: limit + 1])
    return json_answer(
        {
            "files": [_described(file) for file in page[:limit]],
            "next": _cursor(page[limit - 1]) if len(page) > limit else None,
        }
    )


def show_file(request: HttpRequest, client: AuthenticatedClient, file_id: UUID) -> HttpResponseBase:
    """What is known of a file, and where it is used."""
    file = find(client, file_id)
    using = Conversation.objects.filter(file_links__file=file, workspace=client.workspace)
    count = using.aggregate(count=Count("pk"))["count"]
    listed = using.order_by("-updated_at").values("continuation_id", "title", "updated_at", "deleted_at")
    return json_answer(
        {
            **_described(file),
            "names": [file.original_name, *file.details.names],
            "vendors": sorted(file.provider_file_ids),
            "used_by": count,
            "conversations": [
                {
                    "continuation_id": str(row["continuation_id"]),
                    "title": row["title"],
                    "updated_at": row["updated_at"],
                    "in_bin": row["deleted_at"] is not None,
                }
                for row in listed[:_MOST_CONVERSATIONS]
            ],
        }
    )


def delete_file(request: HttpRequest, client: AuthenticatedClient, file_id: UUID) -> HttpResponseBase:
    """409 while conversations use it, unless `?unlink=true`."""
    try:
        removed = file_remove(
            file_id=file_id, workspace=client.workspace, unlink=request.GET.get("unlink", "").lower() == "true"
        )
    except InUse as used:
        raise Conflict(
            f"Conversations use the file: {used.conversations}. Add ?unlink=true to take it from them.",
            conversations=used.conversations,
        ) from None
    if removed is None:
        raise _unknown()
    return HttpResponse(status=204)


def find(client: AuthenticatedClient, file_id: UUID) -> StoredFile:
    """Raises `NotFound`, in the same words whether another workspace has it or nobody."""
    file = StoredFile.objects.filter(pk=file_id, workspace=client.workspace).first()
    if file is None:
        raise _unknown()
    return file


def count_access(file: StoredFile) -> None:
    StoredFile.objects.filter(pk=file.pk).update(access_count=F("access_count") + 1, last_accessed=Now())


def _unknown() -> NotFound:
    return NotFound("There is no such file.")


def _described(file: StoredFile) -> dict[str, Any]:
    return {
        "id": str(file.pk),
        "name": file.original_name,
        "size": file.size_bytes,
        "mime_type": file.mime_type,
        "sha256": file.sha256,
        "file_type": file.file_type,
        "created_at": file.created_at,
        "last_accessed": file.last_accessed,
        "access_count": file.access_count,
    }


def _limit(given: str | None) -> int:
    if given is None:
        return _PAGE
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or not 1 <= int(given) <= MOST_A_PAGE:
        raise InvalidValue(f"`limit` should be a whole number from 1 to {MOST_A_PAGE}.", limit="out of range")
    return int(given)


def _cursor(file: StoredFile) -> str:
    return f"{(file.created_at - _EPOCH) // _MICROSECOND}-{file.pk}"


def _read_cursor(given: str) -> tuple[datetime, UUID]:
    found = _CURSOR.fullmatch(given)
    try:
        if found is not None:
            return _EPOCH + int(found[1]) * _MICROSECOND, UUID(found[2])
    except (ValueError, OverflowError):
        pass
    raise InvalidValue("`before` should be the `next` of an earlier page.", before="unknown")

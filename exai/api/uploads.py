"""`POST /api/files/`, before Django, which would keep the whole body on disk before it asked whose it is.

multipart/form-data with the field `file`, once or several times; or the bytes themselves with `?name=`.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from conversations.files.errors import FormTooLarge
from conversations.files.records import FileRecord
from exai.api.access import client_of
from exai.api.answers import encoded, error_body, headers_of, status_of
from exai.api.multipart import MultipartBody
from exai.gateway.gateway import gateway
from exai.models import Scope
from exai.protocol.errors import CallTimeout, HubError, InternalError, InvalidRequest, OverCapacity

logger = logging.getLogger(__name__)

PATHS = frozenset({"/api/files/", "/api/files"})
FIELD = "file"
# A multipart body is so much longer than its file at most: boundaries, headers, other fields.
_AROUND_BYTES = 64 * 1024
_LONGEST_SILENCE_S = 60.0
_LONGEST_UPLOAD_S = 3600.0
# Of this process, each of up to 4 MiB and now and then a thread; and of those for one workspace, whose clients may be
# slow on purpose.
_MOST_AT_ONCE, _MOST_OF_WORKSPACE = 64, 16
# Of a body that is not wanted: read so that the client, which is still sending, gets to read the answer.
_LINGER_S = 1.0
_LINGER_BYTES = 1024 * 1024

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class UploadStalled(CallTimeout):
    """The client sends nothing any more, or too slowly."""


class _ClientGone(Exception):
    pass


class _Body:
    """What a request brings, piece by piece."""

    def __init__(self, receive: Receive, *, most_bytes: int) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self.is_read = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `UploadStalled`, `_ClientGone`, `FormTooLarge`."""
        size = 0
        while not self.is_read:
            try:
                async with asyncio.timeout(_LONGEST_SILENCE_S):
                    event = await self._receive()
            except TimeoutError:
                raise UploadStalled("Nothing came for a minute. Send the file again.") from None
            if event["type"] == "http.disconnect":
                raise _ClientGone
            self.is_read = not event.get("more_body", False)
            piece: bytes = event.get("body", b"")
            size += len(piece)
            if size > self._most_bytes:
                raise FormTooLarge(gateway().files.most_bytes)
            if piece:
                yield piece

    async def linger(self) -> None:
        """Waits for the end of what is still sent, a little."""
        size = 0
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self.is_read and size < _LINGER_BYTES:
                    event = await self._receive()
                    size += len(event.get("body", b""))
                    self.is_read = not event.get("more_body", False)
        except TimeoutError:
            pass


_under_way: Counter[str] = Counter()  # by workspace


@contextmanager
def _place(workspace: str) -> Iterator[None]:
    """Raises `OverCapacity`."""
    if _under_way.total() >= _MOST_AT_ONCE or _under_way[workspace] >= _MOST_OF_WORKSPACE:
        raise OverCapacity("The hub takes as many uploads as it can. Try again soon.", reason="uploads", retry_after=2)
    _under_way[workspace] += 1
    try:
        with gateway().files.under_way():
            yield
    finally:
        _under_way[workspace] -= 1
        if not _under_way[workspace]:
            del _under_way[workspace]


async def upload(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = _Body(receive, most_bytes=gateway().files.most_bytes + _AROUND_BYTES)
    try:
        try:
            async with asyncio.timeout(_LONGEST_UPLOAD_S):
                status, content = await _take(scope, headers, body)
            answer, more = encoded(content), {}
        except TimeoutError:
            raise UploadStalled("The upload took longer than an hour.") from None
    except _ClientGone:
        return
    except HubError as error:
        status, answer, more = status_of(error), error_body(error), headers_of(error)
    except Exception:
        reference = secrets.token_hex(6)
        logger.exception("An upload failed, reference %s", reference)
        status, answer, more = 500, error_body(InternalError(reference)), {}
    await _answer(send, status, answer, more, body)


async def _take(scope: dict[str, Any], headers: dict[str, str], body: _Body) -> tuple[int, Any]:
    """The status and what is answered."""
    client = await client_of(headers.get("authorization", ""), Scope.FILES)
    length = headers.get("content-length")
    content_type = headers.get("content-type", "")
    is_form = content_type.partition(";")[0].strip().lower() == "multipart/form-data"
    if length is not None and length.isdecimal():
        most = int(length)
        least = max(0, most - (_AROUND_BYTES if is_form else 0))
        if is_form and least > gateway().files.most_bytes:
            raise FormTooLarge(gateway().files.most_bytes)
        await gateway().files.check_room(workspace=client.workspace, size_bytes=least, at_most=most)
    with _place(client.workspace):
        if is_form:
            stored = await _take_form(body, content_type, client.workspace)
        else:
            name = parse_qs(scope["query_string"].decode("latin-1")).get("name", [""])[0]
            if not name:
                raise InvalidRequest("Send multipart/form-data with the field `file`, or the bytes and `?name=…`.")
            stored = [await gateway().files.store(body.pieces(), workspace=client.workspace, name=name)]
    described = [_described(record, duplicate) for record, duplicate in stored]
    is_new = any(not duplicate for _, duplicate in stored)
    return 201 if is_new else 200, described[0] if len(described) == 1 else described


async def _take_form(body: _Body, content_type: str, workspace: str) -> list[tuple[FileRecord, bool]]:
    stored: list[tuple[FileRecord, bool]] = []
    try:
        async for part in MultipartBody(body.pieces(), content_type).parts():
            if part.name == FIELD:
                name = part.filename or ""
                stored.append(await gateway().files.store(part.content(), workspace=workspace, name=name))
    except HubError as error:
        if stored:
            error.details["stored"] = [str(record.id) for record, _ in stored]
        raise
    if not stored:
        raise InvalidRequest(f"The form has no field `{FIELD}`.")
    return stored


def _described(record: FileRecord, duplicate: bool) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "sha256": record.sha256,
        "size": record.size_bytes,
        "mime_type": record.mime_type,
        "duplicate": duplicate,
        "name": record.name,
    }


async def _answer(send: Send, status: int, content: bytes, more: dict[str, str], body: _Body) -> None:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "cache-control": "no-store",
        **({} if body.is_read else {"connection": "close"}),
        **more,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": content, "more_body": True})
    if not body.is_read:
        await body.linger()
    await send({"type": "http.response.body", "body": b""})

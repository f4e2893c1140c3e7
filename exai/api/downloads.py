"""`GET /api/files/<id>/content`: the bytes, all or a range of them, never for a browser to show."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from conversations.files.blobs import ByteStream, hub_blobs, reaching
from conversations.files.errors import BytesMissing
from conversations.models import StoredFile
from exai.api.files import count_access, find
from exai.api.ranges import NotSatisfiable, names_tag, requested_range
from exai.gateway.authentication import AuthenticatedClient

_PIECE_BYTES = 256 * 1024


class _Reading:
    """Read on threads while it is sent; closed by the response."""

    def __init__(self, stream: ByteStream, length: int) -> None:
        self._stream = stream
        self._left = length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left and (piece := await asyncio.to_thread(self._read)):
            self._left -= len(piece)
            yield piece

    def _read(self) -> bytes:
        return reaching(lambda: self._stream.read(min(_PIECE_BYTES, self._left)))

    def close(self) -> None:
        self._stream.close()


def download_file(request: HttpRequest, client: AuthenticatedClient, file_id: UUID) -> HttpResponseBase:
    return file_answer(request, find(client, file_id))


def file_answer(request: HttpRequest, file: StoredFile) -> HttpResponseBase:
    """The answer to whoever may have the file. Raises `BytesMissing`, `StorageAway`."""
    etag = f'"{file.sha256}"'
    if names_tag(request.headers.get("If-None-Match"), etag):
        return _with_headers(HttpResponse(status=304), file, etag)
    wanted = request.headers.get("Range")
    if request.headers.get("If-Range", etag) != etag:
        wanted = None  # a range of something else: the whole of this
    try:
        part = requested_range(wanted, file.size_bytes)
    except NotSatisfiable:
        refused = _with_headers(HttpResponse(status=416), file, etag)
        refused["Content-Range"] = f"bytes */{file.size_bytes}"
        return refused
    first, last = part or (0, file.size_bytes - 1)
    answer = _with_headers(_content(request, file, first, last), file, etag)
    answer["Content-Length"] = str(last - first + 1)
    if part is not None:
        answer.status_code = 206
        answer["Content-Range"] = f"bytes {first}-{last}/{file.size_bytes}"
    return answer


def _content(request: HttpRequest, file: StoredFile, first: int, last: int) -> HttpResponseBase:
    if request.method == "HEAD" or last < first:
        return HttpResponse()
    count_access(file)
    try:
        stream = hub_blobs().open(file.storage_path, first=first, last=last)
    except FileNotFoundError:
        raise BytesMissing(file.original_name) from None
    return StreamingHttpResponse(_Reading(stream, last - first + 1))


def _with_headers(answer: HttpResponseBase, file: StoredFile, etag: str) -> HttpResponseBase:
    answer["ETag"] = etag
    answer["Content-Type"] = file.mime_type
    answer["Accept-Ranges"] = "bytes"
    answer["Content-Disposition"] = content_disposition_header(True, file.original_name) or "attachment"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, no-cache"
    return answer

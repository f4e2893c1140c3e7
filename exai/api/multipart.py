"""multipart/form-data as it comes: one part after the other, nothing kept but what was just received.

RFC 7578, https://www.rfc-editor.org/rfc/rfc7578; the parser is python-multipart's. What a hostile body could make
without end is bounded: headers, parts. The size of it all is the source's to bound.
"""

import logging
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from exai.protocol.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 100
_MOST_HEADERS = 8  # a part
_LONGEST_HEADER = 16 * 1024  # bytes; a name of 4,000 characters comes to 12,000
# Not in RFC 7578, but some libraries write it for names beyond ASCII.
_EXTENDED_NAME = re.compile(r"filename\*=utf-8''([^;\s]+)", re.IGNORECASE)

# It warns of each body that is wrong, and of each byte after the last boundary; the caller is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Part:
    """A field. Its bytes come once, before the next part is asked for."""

    def __init__(self, name: str, filename: str | None, body: "MultipartBody") -> None:
        self.name = name
        self.filename = filename
        self._body = body

    async def content(self) -> AsyncIterator[bytes]:
        """Raises `InvalidRequest` when the body breaks off."""
        while (piece := await self._body.next_piece()) is not None:
            yield piece


class _End:
    """Of a part."""


_END = _End()


class MultipartBody:
    """`source`: the body as received. Raises `InvalidRequest` for a content type without a boundary."""

    def __init__(self, source: AsyncIterator[bytes], content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidRequest("The content type multipart/form-data names no boundary.")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
            "on_part_end": lambda: self._events.append(_END),
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(
                boundary, callbacks, max_header_count=_MOST_HEADERS, max_header_size=_LONGEST_HEADER
            )
        except FormParserError:
            raise InvalidRequest("The boundary of the body is too long.") from None
        self._source = source
        self._events: deque[Part | bytes | _End] = deque()
        self._field, self._value = bytearray(), bytearray()
        self._disposition = ""
        self._parts = 0
        self._ended = False

    async def parts(self) -> AsyncIterator[Part]:
        """What is left of a part when the next is asked for is skipped. Raises `InvalidRequest`, and what the source
        raises."""
        while (event := await self._next()) is not None:
            if isinstance(event, Part):
                yield event
        async for _ in self._source:
            pass  # after the last boundary: not ours, but the connection's next request comes after it

    async def next_piece(self) -> bytes | None:
        """Of the part that was given last; None at its end."""
        event = await self._next()
        return event if isinstance(event, bytes) else None

    async def _next(self) -> Part | bytes | _End | None:
        while not self._events:
            if self._ended:
                return None
            received = await anext(self._source, None)
            if received is None:
                raise InvalidRequest("The body ends before its last boundary.")
            try:
                self._parser.write(received)
            except FormParserError:
                raise InvalidRequest("The body is no multipart/form-data, or its headers are too long.") from None
        return self._events.popleft()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InvalidRequest(f"The body has more than {_MOST_PARTS} parts.")
        self._disposition = ""

    def _on_header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")
        self._field.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        filename = _text(options[b"filename"]) if b"filename" in options else None
        if filename is None and (extended := _EXTENDED_NAME.search(self._disposition)):
            filename = unquote(extended[1])
        self._events.append(Part(_text(options.get(b"name", b"")), filename, self))

    def _on_end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

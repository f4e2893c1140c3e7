"""An upload's form, streamed: a purpose and a file of known size. https://www.rfc-editor.org/rfc/rfc7578

The size is known before, so that the request has a length: not every vendor takes a chunked upload.
"""

import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator

from exai.protocol.errors import InvalidValue

# What would end the name, or the line that it stands in: percent-encoded, as browsers do.
_UNSAFE = re.compile(r'[\x00-\x1f"\x7f]')


class FileForm:
    """Iterated once. `wrong` is set where the content had not the size that was told, which breaks the request off."""

    def __init__(self, *, purpose: str, name: str, size_bytes: int, content: AsyncIterable[bytes]) -> None:
        boundary = secrets.token_hex(16)
        safe_name = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name).encode("utf-8", "replace")
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--{boundary}\r\n'
        ).encode()
        self._head += b'Content-Disposition: form-data; name="file"; filename="' + safe_name + b'"\r\n'
        self._head += b"Content-Type: application/octet-stream\r\n\r\n"
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._size_bytes = size_bytes
        self._content = content
        self.wrong: InvalidValue | None = None
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + size_bytes + len(self._tail)),
        }

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        sent = 0
        async for piece in self._content:
            sent += len(piece)
            if sent > self._size_bytes:
                break
            yield piece
        if sent != self._size_bytes:
            relation = "more than" if sent > self._size_bytes else f"{sent} instead of"
            self.wrong = InvalidValue(f"The file has {relation} {self._size_bytes} bytes.", size_bytes=self._size_bytes)
            raise self.wrong
        yield self._tail

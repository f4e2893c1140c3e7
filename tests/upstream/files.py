"""The files that were uploaded to the upstream, by the key of who did."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

_PAGE = 2  # so few that a list of more than one page is soon had
_BOUNDARY = re.compile(r"multipart/form-data; boundary=([A-Za-z0-9'_-]{1,70})")
_NAME = re.compile(rb'; name="([^"]*)"')
_FILE_NAME = re.compile(rb'; filename="([^"]*)"')


class Upload(NamedTuple):
    name: str
    purpose: str
    content: bytes


def uploaded(content_type: str, raw: bytes) -> Upload:
    """Reads a multipart form with a purpose and a file, strictly: what is not of RFC 7578's form is a `ValueError`."""
    found = _BOUNDARY.fullmatch(content_type)
    if found is None:
        raise ValueError(f"no multipart form: {content_type}")
    delimiter = b"--" + found[1].encode()
    first, *parts = (b"\r\n" + raw).split(b"\r\n" + delimiter)
    if first or not parts or parts.pop() != b"--\r\n":
        raise ValueError("the form does not begin and end with its boundary")
    fields: dict[bytes, bytes] = {}
    file_name = b""
    for part in parts:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not head.startswith(b"\r\nContent-Disposition: form-data;") or not separator or not name:
            raise ValueError("a part without a name")
        fields[name[1]] = content
        if named := _FILE_NAME.search(head):
            file_name = named[1]
    if set(fields) != {b"purpose", b"file"} or not file_name:
        raise ValueError(f"the form holds {sorted(fields)}")
    return Upload(file_name.decode(), fields[b"purpose"].decode(), fields[b"file"])


class Files:
    def __init__(self) -> None:
        self._by_key: dict[str, dict[str, Upload]] = {}
        self._count = 0

    def add(self, key: str, upload: Upload) -> dict[str, Any]:
        self._count += 1
        file_id = f"file-{self._count}"
        self._by_key.setdefault(key, {})[file_id] = upload
        return _described(file_id, upload)

    def page(self, key: str, query: Mapping[str, str]) -> dict[str, Any]:
        """All files, or, where a limit is asked for, a page of at most two, `after` the last one of the page before."""
        files = [_described(file_id, upload) for file_id, upload in self._by_key.get(key, {}).items()]
        files = [file for file in files if query.get("purpose") in (None, file["purpose"])]
        if "limit" not in query:
            return {"object": "list", "data": files}
        ids = [file["id"] for file in files]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        return {"object": "list", "data": files[start : start + _PAGE], "has_more": start + _PAGE < len(files)}

    def content(self, key: str, file_id: str) -> bytes | None:
        """What Moonshot extracts."""
        upload = self._by_key.get(key, {}).get(file_id)
        if upload is None:
            return None
        text = upload.content.decode(errors="replace")
        return msgspec.json.encode({"content": text, "file_type": "text/plain", "filename": upload.name})

    def delete(self, key: str, file_id: str) -> bool:
        return self._by_key.get(key, {}).pop(file_id, None) is not None


def _described(file_id: str, upload: Upload) -> dict[str, Any]:
    return {
        "id": file_id,
        "object": "file",
        "bytes": len(upload.content),
        "created_at": 1_760_000_000,
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "ok",
    }

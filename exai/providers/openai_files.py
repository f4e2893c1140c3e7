"""The files of the OpenAI dialect, which both vendors speak. https://platform.openai.com/docs/api-reference/files"""

import asyncio
from collections.abc import AsyncIterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from exai.protocol.errors import HubError
from exai.providers.answer_text import cleaned
from exai.providers.endpoint import Endpoint
from exai.providers.file_form import FileForm
from exai.providers.files import FileRules, VendorFile, check_upload, checked_id, pieces_of

_MOST_PAGES = 50
_Kind = TypeVar("_Kind")


class _File(msgspec.Struct):
    id: str
    filename: str = ""
    bytes: int | None = None
    created_at: int | None = None
    purpose: str | None = None
    status: str | None = None

    def told(self) -> VendorFile:
        purpose, status = cleaned(self.purpose or ""), cleaned(self.status or "")
        return VendorFile(cleaned(self.id), cleaned(self.filename), self.bytes, self.created_at, purpose, status)


class _Page(msgspec.Struct):
    data: list[_File]
    has_more: bool | None = None


class _Deleted(msgspec.Struct):
    deleted: bool = True


class OpenAIFiles:
    """See `VendorFiles`. `page_size` None: the vendor lists all files at once."""

    def __init__(self, endpoint: Endpoint, rules: FileRules, *, page_size: int | None) -> None:
        self.name = endpoint.name
        self.rules = rules
        self._endpoint = endpoint
        self._page_size = page_size

    async def upload(self, *, name: str, size_bytes: int, content: AsyncIterable[bytes] | Path) -> VendorFile:
        check_upload(self.name, self.rules, name=name, size_bytes=size_bytes)
        if not isinstance(content, Path):
            return await self._upload(name, size_bytes, content)
        with await asyncio.to_thread(content.open, "rb") as file:
            return await self._upload(name, size_bytes, pieces_of(file))

    async def _upload(self, name: str, size_bytes: int, content: AsyncIterable[bytes]) -> VendorFile:
        form = FileForm(purpose=self.rules.purpose, name=name, size_bytes=size_bytes, content=content)
        try:
            answer = await self._endpoint.request("POST", "/files", body=form, headers=form.headers)
        except HubError:
            # What it looks like from here is a connection that broke.
            if form.wrong is not None:
                raise form.wrong from None
            raise
        return self._read(answer, _File).told()

    async def list(self) -> tuple[VendorFile, ...]:
        found: list[VendorFile] = []
        after = ""
        for _ in range(_MOST_PAGES):
            page = self._read(await self._endpoint.request("GET", f"/files{self._query(after)}"), _Page)
            found += (file.told() for file in page.data)
            if not page.has_more or not page.data or page.data[-1].id == after:
                break
            after = page.data[-1].id
        return tuple(found)

    async def delete(self, file_id: str) -> None:
        answer = await self._endpoint.request("DELETE", f"/files/{checked_id(file_id)}", of="file")
        if answer and not self._read(answer, _Deleted).deleted:
            raise self._endpoint.gone(f"did not delete {file_id}")

    async def close(self) -> None:
        await self._endpoint.close()

    def _query(self, after: str) -> str:
        query = {"purpose": self.rules.purpose}
        if self._page_size is not None:
            query["limit"] = str(self._page_size)
        if after:
            query["after"] = after
        return f"?{urlencode(query)}"

    def _read(self, answer: bytes, kind: type[_Kind]) -> _Kind:
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._endpoint.gone("sent something that is no answer") from None

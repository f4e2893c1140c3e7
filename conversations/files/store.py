"""Files of a workspace, for the web process: stored as they come, found, and given to whoever reads them.

The order makes every end safe, a kill too: a note that these bytes are to be removed; the bytes; and in one statement
the row and the end of the note.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from conversations.files import statements
from conversations.files.blobs import Blobs, reaching
from conversations.files.errors import (
    BytesMissing,
    FileTooLarge,
    StorageAway,
    UploadLost,
    too_many_bytes,
    too_many_files,
)
from conversations.files.names import clean_name
from conversations.files.receiving import receive
from conversations.files.records import FileRecord
from conversations.files.staging import Staged
from conversations.files.threads import on_thread
from exai.database import Database, DatabaseAway
from exai.extraction.sniffing import sniff
from exai.settings.storage import StorageSettings

logger = logging.getLogger(__name__)

_PATIENCE_S = 10.0
_MOST_COPIES = 4  # of files in a bucket, on this machine at a time
_MEBIBYTE = 1024 * 1024


class FileStore:
    def __init__(self, database: Database, blobs: Blobs, settings: StorageSettings) -> None:
        self.most_bytes = settings.max_file_bytes
        self._database = database
        self._blobs = blobs
        self._most_files = settings.workspace_max_files
        self._most_workspace_bytes = settings.workspace_max_mb * _MEBIBYTE
        self._copies = asyncio.Semaphore(_MOST_COPIES)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def store(
        self, content: AsyncIterable[bytes], *, workspace: str, name: str, size_hint: int | None = None
    ) -> tuple[FileRecord, bool]:
        """Keeps the content in the workspace: its row, and whether that was there already (its name then is the first
        that it was stored under).

        `size_hint`: bytes that are announced, at most; what has no room is refused before it is read. Durable when it
        returns; when it raises nothing stays but what cleanup removes. What `content` raises comes through. Raises
        `FileTooLarge`, `QuotaReached`, `StorageAway`, `DatabaseAway`, `UploadLost`.
        """
        if size_hint is not None:
            await self.check_room(workspace=workspace, size_bytes=size_hint)
        with self.under_way():
            staged = await on_thread(lambda: reaching(self._blobs.staging.create), undo=Staged.discard)
            try:
                sha256, size = await receive(content, staged, most_bytes=self.most_bytes)
                return await self._keep(staged, sha256, size, workspace=workspace, name=clean_name(name))
            finally:
                # Not on a thread: a loop that ends gives none any more, and this is one system call or two.
                staged.discard()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """What `drain` waits for."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def check_room(self, *, workspace: str, size_bytes: int, at_most: int | None = None) -> None:
        """Raises `FileTooLarge`, `QuotaReached` where a file of this size would be refused; `at_most`: where only a
        size between is known. One that may be there already, by its size, is not: it would take no room."""
        if size_bytes > self.most_bytes:
            raise FileTooLarge(self.most_bytes)
        if not self._most_files and not self._most_workspace_bytes:
            return
        files, used, has_such = await statements.used_room(
            self._database, workspace=workspace, sizes=(size_bytes, at_most or size_bytes), within_s=_PATIENCE_S
        )
        if has_such:
            return
        if self._most_files and files >= self._most_files:
            raise too_many_files(self._most_files)
        if self._most_workspace_bytes and used + size_bytes > self._most_workspace_bytes:
            raise too_many_bytes(self._most_workspace_bytes)

    async def find(self, ids: Collection[UUID], *, workspace: str) -> dict[UUID, FileRecord]:
        """Those of these files that the workspace has, each counted as used. One statement. Raises `DatabaseAway`."""
        if not ids:
            return {}
        return await statements.find_files(self._database, ids, workspace=workspace, within_s=_PATIENCE_S)

    @asynccontextmanager
    async def on_disk(self, record: FileRecord) -> AsyncIterator[Path]:
        """A path on this machine that holds the bytes, to be read only, and only within. Raises `BytesMissing`,
        `StorageAway`."""
        try:
            path = self._blobs.local_path(record.storage_path)
        except FileNotFoundError:
            raise BytesMissing(record.name) from None
        if path is not None:
            if not await asyncio.to_thread(self._blobs.are_there, record.storage_path):
                raise BytesMissing(record.name)
            yield path
            return
        async with self._copies:
            try:
                copy = await on_thread(
                    lambda: self._blobs.copy_out(record.storage_path, record.size_bytes), undo=Staged.discard
                )
            except FileNotFoundError:
                raise BytesMissing(record.name) from None
            try:
                yield copy.path
            finally:
                copy.discard()

    async def drain(self, *, within_s: float) -> None:
        """Waits until what is being stored is stored, for so long at most."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d uploads had to be given up at the end of the process", self._under_way)

    async def _keep(
        self, staged: Staged, sha256: str, size: int, *, workspace: str, name: str
    ) -> tuple[FileRecord, bool]:
        known = await statements.touch_file(
            self._database, workspace=workspace, sha256=sha256, name=name, within_s=_PATIENCE_S
        )
        if known is not None:
            if await on_thread(lambda: self._blobs.are_there(known.storage_path)):
                return known, True
            await statements.miss_bytes(self._database, known, within_s=_PATIENCE_S)
        sniffed = await on_thread(lambda: sniff(staged.path, name=name))
        path = self._blobs.new_path(workspace, sha256)
        new = FileRecord(uuid4(), workspace, name, sniffed.mime_type, size, sha256, path, datetime.now(UTC))
        await statements.note_bytes(self._database, path, within_s=_PATIENCE_S)
        await on_thread(lambda: self._blobs.put(staged, path))
        outcome, stored = await statements.store_file(
            self._database,
            new,
            most_files=self._most_files,
            most_bytes=self._most_workspace_bytes,
            within_s=_PATIENCE_S,
        )
        if outcome == "stored" and stored is not None:
            return stored, False
        await self._drop(path)
        match outcome:
            case "too_many_files":
                raise too_many_files(self._most_files)
            case "too_many_bytes":
                raise too_many_bytes(self._most_workspace_bytes)
        if stored is None:
            raise UploadLost
        return stored, True

    async def _drop(self, storage_path: str) -> None:
        """Bytes that got no row go at once, where that works; else by their note."""
        try:
            await asyncio.to_thread(self._blobs.delete, storage_path)
            await statements.forget_note(self._database, storage_path, within_s=_PATIENCE_S)
        except (StorageAway, DatabaseAway):
            logger.warning("Bytes that are not needed stay until the next cleanup")

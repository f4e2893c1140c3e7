"""Reads files for models, each once: what is read is kept, and callers who want the same at once wait together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

from conversations.files.errors import BytesMissing
from conversations.files.readings import LONGEST_PARTS, Reading, keep_reading, look_at_files, read_contents
from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from exai.database import Database
from exai.extraction.extracted import Extracted
from exai.extraction.limits import DEFAULT_LIMITS, Limits
from exai.extraction.lines import numbered
from exai.extraction.runner import extract
from exai.extraction.sniffing import Sniffed
from exai.providers.tokens import estimate_tokens

_PATIENCE_S = 10.0
_MOST_AT_ONCE = 4  # files of one call

Telling = Callable[[FileRecord], Awaitable[None]]  # that a file is being read


class FileReader:
    """Of one web process."""

    def __init__(self, store: FileStore, database: Database, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store = store
        self._database = database
        self._limits = limits
        self._under_way: dict[UUID, _UnderWay] = {}

    async def look(self, ids: Collection[UUID], *, workspace: str, tell: Telling) -> dict[UUID, Reading]:
        """Of those of these files that the workspace has. `tell` is called for each that is read now. Raises
        `ServiceUnavailable`."""
        found = await look_at_files(self._database, ids, workspace=workspace, within_s=_PATIENCE_S)
        readings = {record.id: reading for record, reading in found if reading is not None}
        if unread := [record for record, reading in found if reading is None]:
            readings.update(await self._read_all(unread, tell))
        return readings

    async def contents(self, ids: Collection[UUID], *, workspace: str) -> dict[UUID, str]:
        """Text as a model is sent it, of an image its `data:` URL. Raises `ServiceUnavailable`."""
        contents = await read_contents(self._database, ids, workspace=workspace, within_s=_PATIENCE_S)

        def as_sent() -> dict[UUID, str]:
            return {
                id_: f"data:{content.image_type};base64,{content.image}"
                if content.image_type
                else _as_sent(content.text, content.mime_type)
                for id_, content in contents.items()
            }

        return await asyncio.to_thread(as_sent)

    async def _read_all(self, records: list[FileRecord], tell: Telling) -> dict[UUID, Reading]:
        places = asyncio.Semaphore(_MOST_AT_ONCE)

        async def read(record: FileRecord) -> Reading:
            async with places:
                await tell(record)
                return await self._read_once(record)

        try:
            async with asyncio.TaskGroup() as group:
                reading = {record.id: group.create_task(read(record)) for record in records}
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return {id_: task.result() for id_, task in reading.items()}

    async def _read_once(self, record: FileRecord) -> Reading:
        under_way = self._under_way.get(record.id)
        if under_way is None:
            under_way = self._under_way[record.id] = _UnderWay(asyncio.create_task(self._read(record)))
        under_way.waiting += 1
        try:
            return await asyncio.shield(under_way.task)
        finally:
            under_way.waiting -= 1
            if not under_way.waiting:
                # Nobody wants it any more, or it is done: whoever comes now begins anew, or finds it kept.
                del self._under_way[record.id]
                under_way.task.cancel()

    async def _read(self, record: FileRecord) -> Reading:
        try:
            async with self._store.on_disk(record) as path:
                extracted = await extract(path, mime_type=record.mime_type, name=record.name, limits=self._limits)
        except BytesMissing:
            return Reading(problem="Its bytes are missing in the storage; upload it again.")
        reading = await asyncio.to_thread(_reading_of, extracted, record.mime_type)
        await keep_reading(
            self._database,
            record.id,
            reading,
            text=extracted.text,
            image=extracted.image.partition(",")[2],
            within_s=_PATIENCE_S,
        )
        return reading


class _UnderWay:
    def __init__(self, task: "asyncio.Task[Reading]") -> None:
        self.task = task
        self.waiting = 0


def _reading_of(extracted: Extracted, mime_type: str) -> Reading:
    if extracted.problem and not extracted.text and not extracted.image:
        return Reading(problem=extracted.problem)
    parts = ": ".join(filter(None, (extracted.parts, extracted.problem)))[:LONGEST_PARTS]
    if extracted.image:
        return Reading(image_type=extracted.image.partition(";")[0].removeprefix("data:"), parts=parts)
    return Reading(tokens=estimate_tokens(_as_sent(extracted.text, mime_type)), parts=parts)


def _as_sent(text: str, mime_type: str) -> str:
    """Lines of text and code are numbered; those of a document are its reader's own."""
    return text if Sniffed(mime_type).is_document else numbered(text)

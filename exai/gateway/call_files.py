"""The files of one call: what its caller names is found in the workspace, or stored there."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import UUID

from conversations.files.names import clean_name
from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from exai.extraction.encodings import encoding_of
from exai.gateway.checks import check_files_allowed
from exai.gateway.data_urls import SCHEME, parse_data_url
from exai.gateway.file_reader import FileReader
from exai.protocol.errors import ContentTooLarge, InvalidValue, NotFound, OverCapacity
from exai.protocol.values import FileMention
from exai.server_paths import open_allowed
from exai.tools.files import Download, Encoding, FileFacts, FileReference, InlineFile, References, once

MOST_FILES = 50  # that a call may name
_PIECE_BYTES = 1024 * 1024
_HEAD_BYTES = 65_536
_MOST_SHOWN = 10  # reasons, in the message; the details hold all
_ADVICE = 'Name a file by the id of its upload (POST /api/files/), or send it as {"name","content"} or as a data: URL.'


class _Named(NamedTuple):
    """A reference, where it stands. `place` as in `files.2`."""

    field: str
    place: str
    reference: FileReference


class _Coming(NamedTuple):
    """A content that is to be stored."""

    name: str
    content: BinaryIO


class CallFiles:
    """Implements `exai.tools.files.Files`. `allowed`: whether the caller may name files at all; those of a conversation
    that it continues are read anyway. `roots`: folders of this machine that callers may name files of; `closed`: what
    they may not, though it lies there."""

    def __init__(
        self,
        *,
        store: FileStore,
        reader: FileReader,
        workspace: str,
        allowed: bool,
        roots: Sequence[Path],
        closed: Sequence[Path] = (),
        progress: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._reader = reader
        self._workspace = workspace
        self._allowed = allowed
        self._roots = roots
        self._closed = closed
        self._progress = progress

    async def take(self, references: References) -> Mapping[str, tuple[FileMention, ...]]:
        named = [
            _Named(field, f"{field}.{index}", reference)
            for field, listed in references.items()
            for index, reference in enumerate(listed)
        ]
        if not named:
            return dict.fromkeys(references, ())
        check_files_allowed(self._allowed)
        if len(named) > MOST_FILES:
            reason = f"{len(named)} files are named; a call takes {MOST_FILES}"
            raise InvalidValue(f"Too many files: {reason}.", **dict.fromkeys({one.field for one in named}, reason))
        ids = {one.place: id_ for one in named if (id_ := _file_id(one.reference)) is not None}
        found = await self._store.find(set(ids.values()), workspace=self._workspace) if ids else {}
        problems = {place: f"{id_} is no file of this workspace" for place, id_ in ids.items() if id_ not in found}
        with ExitStack() as opened:
            others = [one for one in named if one.place not in ids]
            coming = await asyncio.to_thread(self._open, others, problems, opened) if others else {}
            if problems:
                raise _refusal(problems)
            mentions = {place: FileMention(id_, found[id_].name) for place, id_ in ids.items()}
            for place, content in coming.items():
                mentions[place] = await self._keep(content)
        return {field: once(mentions[one.place] for one in named if one.field == field) for field in references}

    async def look(self, mentions: Sequence[FileMention]) -> Mapping[UUID, FileFacts]:
        names = {file.id: file.name for file in mentions}

        async def tell(record: FileRecord) -> None:
            await self._progress(f"Reading {clean_name(names[record.id])}")

        readings = await self._reader.look(names, workspace=self._workspace, tell=tell)
        return {
            id_: FileFacts(reading.tokens, bool(reading.image_type), reading.parts, reading.problem)
            for id_, reading in readings.items()
        }

    async def read(self, ids: Sequence[UUID]) -> Mapping[UUID, str]:
        return await self._reader.contents(ids, workspace=self._workspace)

    async def download(self, file_id: UUID, *, encoding: Encoding, most_bytes: int) -> Download:
        check_files_allowed(self._allowed)
        record = (await self._store.find({file_id}, workspace=self._workspace)).get(file_id)
        if record is None:
            raise NotFound(f"{file_id} is no file of this workspace.")
        if record.size_bytes > most_bytes:
            raise ContentTooLarge(
                f"{record.name} has {record.size_bytes} bytes, and a tool answers {most_bytes}. "
                f"Get it by GET /api/files/{file_id}/content.",
                size_bytes=record.size_bytes,
                limit=most_bytes,
            )
        async with self._store.on_disk(record) as path:
            content = await asyncio.to_thread(_encoded, path, encoding)
        if content is None:
            raise InvalidValue(
                f"{record.name} is no text. Ask for base64.", encoding="must be base64 for what is no text"
            )
        return Download(record.id, record.name, record.mime_type, record.size_bytes, record.sha256, content)

    def _open(self, named: Sequence[_Named], problems: dict[str, str], opened: ExitStack) -> dict[str, _Coming]:
        """What is to be stored, by its place. Notes what cannot be in `problems`, and leaves files to be closed in
        `opened`."""
        coming = {}
        for one in named:
            try:
                coming[one.place] = self._open_one(one.reference, opened)
            except InvalidValue as error:
                problems[one.place] = error.message
        return coming

    def _open_one(self, reference: FileReference, opened: ExitStack) -> _Coming:
        if isinstance(reference, InlineFile):
            return _Coming(reference.name, BytesIO(reference.content.encode("utf-8", "replace")))
        if _is_data_url(reference):
            inline = parse_data_url(reference)
            return _Coming(inline.name, BytesIO(inline.content))
        file = opened.enter_context(open_allowed(reference, self._roots, closed=self._closed))
        return _Coming(Path(file.name).name, file)

    async def _keep(self, coming: _Coming) -> FileMention:
        name = clean_name(coming.name)
        try:
            record, _ = await self._store.store(_pieces(coming.content), workspace=self._workspace, name=name)
        except (ContentTooLarge, OverCapacity) as refused:
            refused.details.setdefault("file", name)
            raise
        return FileMention(record.id, name)


def _encoded(path: Path, encoding: Encoding) -> str | None:
    """None: it is no text."""
    content = path.read_bytes()
    if encoding == "base64":
        return base64.b64encode(content).decode()
    codec = encoding_of(content[:_HEAD_BYTES])
    return None if codec is None else content.decode(codec, "replace")


def _file_id(reference: FileReference) -> UUID | None:
    # As the hub writes them: UUID() would also take braces and what else there is.
    if not isinstance(reference, str) or len(reference) != 36:
        return None
    try:
        return UUID(reference)
    except ValueError:
        return None


def _is_data_url(reference: str) -> bool:
    return reference[: len(SCHEME)].lower() == SCHEME


def _refusal(problems: dict[str, str]) -> InvalidValue:
    shown = [f"{place}: {reason.removesuffix('.')}" for place, reason in list(problems.items())[:_MOST_SHOWN]]
    more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
    return InvalidValue(f"Not all files can be taken, so none was. {'; '.join(shown)}{more}. {_ADVICE}", **problems)


async def _pieces(content: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
        yield piece

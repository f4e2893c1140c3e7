"""Copies of files at the vendors: one each, however many calls and processes want it, used until it may have expired.

Who uploads holds a claim in the row, renewed while the upload lasts: others wait for the id, and take over the claim of
a process that died. Nothing holds a connection to the database meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import LiteralString, Protocol
from uuid import UUID

import psycopg

from conversations.files.records import FileRecord
from exai.database import Database
from exai.protocol.errors import HubError, NotFound
from exai.providers.files import VendorFiles

_PATIENCE_S = 5.0
_POLL_S = 0.1
CLAIM_S = 15.0

# The id of a copy that may still be used; else the claim is taken, unless another holds it.
_FIND_OR_CLAIM: LiteralString = """
WITH file AS (
    SELECT id, provider_file_ids ->> %(vendor)s AS copy,
           coalesce((metadata #>> ARRAY['provider_expiry', %(vendor)s])::timestamptz > now(), false) AS valid,
           coalesce((metadata #>> ARRAY['provider_claims', %(vendor)s])::timestamptz > now(), false) AS claimed
    FROM files WHERE id = %(file)s AND workspace = %(workspace)s FOR UPDATE
), claim AS (
    UPDATE files SET metadata = jsonb_set(metadata, '{provider_claims}',
        coalesce(metadata -> 'provider_claims', '{}')
        || jsonb_build_object(%(vendor)s::text, now() + make_interval(secs => %(claim_s)s)))
    FROM file WHERE files.id = file.id AND NOT file.claimed AND NOT (file.valid AND file.copy IS NOT NULL)
    RETURNING files.id
)
SELECT file.copy, file.valid, EXISTS (SELECT FROM claim) FROM file
"""
_RENEW: LiteralString = """
UPDATE files SET metadata = jsonb_set(metadata, ARRAY['provider_claims', %(vendor)s],
    to_jsonb(now() + make_interval(secs => %(claim_s)s)))
WHERE id = %(file)s AND metadata -> 'provider_claims' ? %(vendor)s
"""
_KEEP: LiteralString = """
WITH before AS (
    SELECT id, provider_file_ids ->> %(vendor)s AS copy FROM files WHERE id = %(file)s FOR UPDATE
)
UPDATE files SET
    provider_file_ids = provider_file_ids || jsonb_build_object(%(vendor)s::text, %(copy)s::text),
    metadata = jsonb_set(metadata #- ARRAY['provider_claims', %(vendor)s], '{provider_expiry}',
        coalesce(metadata -> 'provider_expiry', '{}')
        || jsonb_build_object(%(vendor)s::text, now() + make_interval(secs => %(valid_s)s)))
FROM before WHERE files.id = before.id
RETURNING before.copy
"""
_GIVE_UP: LiteralString = """
UPDATE files SET metadata = metadata #- ARRAY['provider_claims', %(vendor)s] WHERE id = %(file)s
"""
# Only what is still that very copy: another may have been made since.
_FORGET: LiteralString = """
UPDATE files SET provider_file_ids = provider_file_ids - %(vendor)s::text,
                 metadata = metadata #- ARRAY['provider_expiry', %(vendor)s]
WHERE id = %(file)s AND provider_file_ids ->> %(vendor)s = %(copy)s
"""


class Bytes(Protocol):
    """Where files lie."""

    def on_disk(self, record: FileRecord) -> AbstractAsyncContextManager[Path]: ...


class VendorCopies:
    """`valid_s`: how long a copy is used; vendors do not say how long they keep one."""

    def __init__(self, database: Database, files: Bytes, *, valid_s: float, claim_s: float = CLAIM_S) -> None:
        self._database = database
        self._files = files
        self._valid_s = valid_s
        self._claim_s = claim_s

    async def id_at(self, vendor: VendorFiles, record: FileRecord) -> str:
        """The id that the vendor knows the file by; it is uploaded where there is none. Raises `HubError`s."""
        while True:
            copy, valid, claimed = await self._find_or_claim(vendor.name, record)
            if claimed:
                return await self._upload(vendor, record)
            if copy and valid:
                return copy
            await asyncio.sleep(_POLL_S)

    async def forget(self, vendor: str, record: FileRecord, vendor_file_id: str) -> None:
        """The vendor does not know that copy any more: the next use makes another."""
        await self._do(_FORGET, vendor, record.id, copy=vendor_file_id)

    async def _find_or_claim(self, vendor: str, record: FileRecord) -> tuple[str | None, bool, bool]:
        parameters = {
            "vendor": vendor,
            "file": record.id,
            "workspace": record.workspace,
            "claim_s": self._claim_s,
        }
        rows = await self._database.fetch(_FIND_OR_CLAIM, parameters, within_s=_PATIENCE_S)
        if not rows:
            raise NotFound(f"The file {record.name} has been removed.")
        copy, valid, claimed = rows[0]
        return copy, valid, claimed

    async def _upload(self, vendor: VendorFiles, record: FileRecord) -> str:
        try:
            async with self._renewing(vendor.name, record), self._files.on_disk(record) as path:
                made = await vendor.upload(name=record.name, size_bytes=record.size_bytes, content=path)
        except BaseException:
            # Also when the call is cancelled: the next one should not have to wait for the claim to end.
            await asyncio.shield(self._do(_GIVE_UP, vendor.name, record.id))
            raise
        noting = asyncio.create_task(self._note(vendor, record, made.id))
        try:
            await asyncio.shield(noting)
        except asyncio.CancelledError:
            await asyncio.wait({noting})  # a copy that nobody knows of would stay at the vendor
            raise
        return made.id

    async def _note(self, vendor: VendorFiles, record: FileRecord, copy_id: str) -> None:
        """Keeps the id in the file's row; the copy that it replaces, or one that cannot be kept, is removed."""
        try:
            kept = await self._database.fetch(
                _KEEP,
                {"vendor": vendor.name, "file": record.id, "copy": copy_id, "valid_s": self._valid_s},
                within_s=_PATIENCE_S,
            )
        except (HubError, psycopg.Error):
            with suppress(HubError):
                await vendor.delete(copy_id)
            raise
        unwanted = kept[0][0] if kept else copy_id
        if unwanted is not None and (unwanted != copy_id or not kept):
            with suppress(HubError):  # an expired one the vendor may have removed by itself
                await vendor.delete(unwanted)
        if not kept:
            raise NotFound(f"The file {record.name} has been removed.")

    @asynccontextmanager
    async def _renewing(self, vendor: str, record: FileRecord) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._claim_s / 3)
                with suppress(HubError):
                    await self._do(_RENEW, vendor, record.id, claim_s=self._claim_s)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _do(self, statement: LiteralString, vendor: str, file_id: UUID, **parameters: object) -> None:
        await self._database.fetch(statement, {"vendor": vendor, "file": file_id, **parameters}, within_s=_PATIENCE_S)

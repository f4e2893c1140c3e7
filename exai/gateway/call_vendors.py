"""What vendors do beside their models, for the workspace of one call: at the endpoints that are configured now."""

import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from conversations.files.records import FileRecord
from conversations.files.store import FileStore
from conversations.files.vendor_copies import VendorCopies
from conversations.files.vendor_listing import CopiedFile, copied_files, named_files
from exai.database import Database
from exai.gateway.checks import check_files_allowed
from exai.live_registry.live_registry import LiveRegistry
from exai.protocol.errors import HubError, NotFound
from exai.protocol.values import FileMention
from exai.provider_config.plans import ProviderPlan
from exai.providers import glm, kimi
from exai.providers.base import ModelInfo, ModelRequest
from exai.providers.files import VendorFile, VendorFiles, is_id
from exai.providers.glm_search import FoundPage, glm_search
from exai.providers.kimi_files import RULES, KimiFiles
from exai.settings.providers import ProviderSettings
from exai.tools.vendors import Search, VendorCopy, not_configured
from exai.wiring import vendor_files

_PATIENCE_S = 10.0
_GONE = 404


class CallVendors:
    """Implements `exai.tools.vendors.Vendors`. `files_allowed`: whether the caller may use files."""

    def __init__(
        self,
        *,
        settings: ProviderSettings,
        registry: LiveRegistry,
        database: Database,
        store: FileStore,
        copies: VendorCopies,
        workspace: str,
        files_allowed: bool,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._database = database
        self._store = store
        self._copies = copies
        self._workspace = workspace
        self._files_allowed = files_allowed

    def check(self, vendor: str) -> None:
        self._plan(vendor)

    def reads(self, file: FileMention) -> bool:
        suffix = PurePosixPath(file.name).suffix.lower()
        # A name without one gets that of the content's type.
        return self._registry.plan(kimi.NAME) is not None and (not suffix or suffix in RULES.suffixes)

    async def upload(self, vendor: str, file: FileMention) -> VendorCopy:
        record = await self._record(file)
        async with self._files(vendor) as files:
            copy_id = await self._copies.id_at(files, record)
        found = await self._find(vendor, (file.id,), ())
        expires_at = found[0].expires_at if found else None
        return VendorCopy(
            id=copy_id, name=record.name, file_id=file.id, size_bytes=record.size_bytes, expires_at=expires_at
        )

    async def extracted(self, file: FileMention) -> str:
        record = await self._record(file)
        async with self._files(kimi.NAME) as files:
            if not isinstance(files, KimiFiles):
                raise not_configured(kimi.NAME, "")
            copy_id = await self._copies.id_at(files, record)
            try:
                return await files.content(copy_id)
            except HubError as error:
                if error.details.get("status") != _GONE:
                    raise
            # Removed there by somebody else, such as in the vendor's console.
            await self._copies.forget(kimi.NAME, record, copy_id)
            return await files.content(await self._copies.id_at(files, record))

    async def find(self, vendor: str, ids: Sequence[str]) -> Mapping[str, FileMention]:
        uuids = {id_: uuid for id_ in ids if (uuid := _uuid(id_)) is not None}
        found: dict[str, FileMention] = {}
        for file in await self._find(vendor, tuple(uuids.values()), [id_ for id_ in ids if is_id(id_)]):
            mention = FileMention(file.record.id, file.record.name)
            found |= {id_: mention for id_ in ids if file.copy_id == id_ or uuids.get(id_) == file.record.id}
        return found

    async def copies(self, vendor: str, *, hub_wide: bool) -> Sequence[VendorCopy]:
        check_files_allowed(self._files_allowed)
        workspace = None if hub_wide else self._workspace
        known = await copied_files(self._database, vendor=vendor, workspace=workspace, within_s=_PATIENCE_S)
        if not hub_wide:
            return [_told(file) for file in known]
        async with self._files(vendor) as files:
            listed = await files.list()
        by_id = {file.copy_id: file for file in known}
        told = [_told(by_id[file.id]) if file.id in by_id else _unknown(file) for file in listed]
        return sorted(told, key=lambda copy: copy.created_at or datetime.min.replace(tzinfo=UTC), reverse=True)

    async def remove(self, vendor: str, copy_id: str, *, hub_wide: bool) -> None:
        known = await self._find(vendor, (), (copy_id,), hub_wide=hub_wide)
        if not known and not hub_wide:
            raise NotFound(f"{vendor} keeps no file {copy_id[:100]} of this workspace.")
        async with self._files(vendor) as files:
            try:
                await files.delete(copy_id)
            except HubError as error:
                if error.details.get("status") != _GONE:
                    raise
        for file in known:
            await self._copies.forget(vendor, file.record, copy_id)

    async def search(self, search: Search) -> Sequence[FoundPage]:
        plan = self._plan(glm.NAME)
        searching = glm_search(
            key=plan.key,
            base_url=plan.base_url,
            connect_timeout_s=self._settings.connect_timeout_secs,
            read_timeout_s=self._settings.read_timeout_secs,
            key_setting=plan.key_setting,
        )
        try:
            return await searching.search(
                search.query,
                count=search.count,
                recency=search.recency,
                domain=search.domain,
                engine=search.engine,
                request_id=search.request_id,
                user_id=search.user_id,
            )
        finally:
            await searching.close()

    def payload(self, request: ModelRequest, info: ModelInfo) -> dict[str, Any]:
        return glm.payload(request, info, base_url=self._plan(glm.NAME).base_url)

    def _plan(self, vendor: str) -> ProviderPlan:
        plan = self._registry.plan(vendor)
        if plan is None:
            raise not_configured(vendor, self._registry.unconfigured_vendors.get(vendor, ""))
        return plan

    @asynccontextmanager
    async def _files(self, vendor: str) -> AsyncIterator[VendorFiles]:
        check_files_allowed(self._files_allowed)
        files = vendor_files(self._settings, self._plan(vendor))
        if files is None:
            raise not_configured(vendor, "")
        try:
            yield files
        finally:
            await files.close()

    async def _find(
        self, vendor: str, ids: Sequence[UUID], copy_ids: Sequence[str], *, hub_wide: bool = False
    ) -> Sequence[CopiedFile]:
        check_files_allowed(self._files_allowed)
        return await named_files(
            self._database,
            vendor=vendor,
            ids=ids,
            copy_ids=copy_ids,
            workspace=None if hub_wide else self._workspace,
            within_s=_PATIENCE_S,
        )

    async def _record(self, file: FileMention) -> FileRecord:
        """By the name that the call gives it, for vendors go by its end."""
        record = (await self._store.find({file.id}, workspace=self._workspace)).get(file.id)
        if record is None:
            raise NotFound(f"The file {file.name} has been removed.")
        suffix = "" if PurePosixPath(file.name).suffix else mimetypes.guess_extension(record.mime_type) or ""
        return replace(record, name=file.name + suffix)


def _told(file: CopiedFile) -> VendorCopy:
    record = file.record
    return VendorCopy(
        id=file.copy_id,
        name=record.name,
        file_id=record.id,
        workspace=record.workspace,
        size_bytes=record.size_bytes,
        created_at=record.created_at,
        expires_at=file.expires_at,
        conversations=file.conversations,
    )


def _unknown(file: VendorFile) -> VendorCopy:
    """Of a file at the vendor that the hub did not bring there, or has forgotten."""
    created_at: datetime | None = None
    if file.created_at is not None:
        with suppress(ValueError, OverflowError, OSError):  # it may be no time at all
            created_at = datetime.fromtimestamp(file.created_at, UTC)
    return VendorCopy(id=file.id, name=file.name, size_bytes=file.size_bytes, created_at=created_at)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

"""What vendors do beside their models, as tools know it: files that they keep and read, a search; and who has no key.

A file at a vendor is a copy of one of the hub's, made once and used by all calls of its workspace.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from exai.protocol.errors import InvalidValue
from exai.protocol.values import FileMention
from exai.providers.base import ModelInfo, ModelRequest
from exai.providers.glm_search import FoundPage, Recency


class VendorCopy(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: the vendor's. `file_id`: of the hub's file; None: the hub has none. `expires_at`: no longer used then.
    `conversations`: how many use the file."""

    id: str
    name: str
    file_id: UUID | None = None
    workspace: str = ""
    size_bytes: int | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    conversations: int = 0


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """See `exai.providers.glm_search`. Empty: the vendor's default."""

    query: str
    count: int
    recency: Recency
    domain: str = ""
    engine: str = ""
    request_id: str = ""
    user_id: str = ""


class Vendors(Protocol):
    """For the workspace of one call. Its methods raise `HubError`s: `InvalidValue` where the vendor is not configured,
    `NotFound` for files of others as for those that there are not."""

    def check(self, vendor: str) -> None:
        """Raises `InvalidValue` that says what to set, where that vendor is not configured."""
        ...

    def reads(self, file: FileMention) -> bool:
        """Whether Kimi is configured, and says that it reads files of that name."""
        ...

    async def upload(self, vendor: str, file: FileMention) -> VendorCopy:
        """The vendor's copy of a file of the hub; made where there is none."""
        ...

    async def extracted(self, file: FileMention) -> str:
        """What Kimi reads out of a file, in the form in which its models are sent it."""
        ...

    async def find(self, vendor: str, ids: Sequence[str]) -> Mapping[str, FileMention]:
        """The files of these ids, the hub's or the vendor's; without those that the workspace has not."""
        ...

    async def copies(self, vendor: str, *, hub_wide: bool) -> Sequence[VendorCopy]:
        """Newest first: those of the workspace; hub-wide all that the vendor keeps for the hub's key."""
        ...

    async def remove(self, vendor: str, copy_id: str, *, hub_wide: bool) -> None:
        """Removes a copy at the vendor, not the hub's own file. That it is gone there already is no error."""
        ...

    async def search(self, search: Search) -> Sequence[FoundPage]:
        """Asks GLM's search."""
        ...

    def payload(self, request: ModelRequest, info: ModelInfo) -> dict[str, Any]:
        """The body that GLM would be sent."""
        ...


class NoVendors:
    """Where there are none: each method refuses."""

    def check(self, vendor: str) -> None:
        raise not_configured(vendor, "")

    def reads(self, file: FileMention) -> bool:
        return False

    async def upload(self, vendor: str, file: FileMention) -> VendorCopy:
        raise not_configured(vendor, "")

    async def extracted(self, file: FileMention) -> str:
        raise not_configured("kimi", "")

    async def find(self, vendor: str, ids: Sequence[str]) -> Mapping[str, FileMention]:
        raise not_configured(vendor, "")

    async def copies(self, vendor: str, *, hub_wide: bool) -> Sequence[VendorCopy]:
        raise not_configured(vendor, "")

    async def remove(self, vendor: str, copy_id: str, *, hub_wide: bool) -> None:
        raise not_configured(vendor, "")

    async def search(self, search: Search) -> Sequence[FoundPage]:
        raise not_configured("glm", "")

    def payload(self, request: ModelRequest, info: ModelInfo) -> dict[str, Any]:
        raise not_configured("glm", "")


def not_configured(vendor: str, setting: str) -> InvalidValue:
    """`setting`: the one that holds the key; empty: a key is there, and the vendor is off."""
    if setting:
        way = f"an operator sets {setting}, or enters a key in the admin under Endpoints"
    else:
        way = "an operator switches it on, or mends its entry, in the admin under Endpoints"
    return InvalidValue(
        f"This tool needs {vendor}, which is not configured at this hub: {way}.", provider=f"{vendor} is not configured"
    )

"""Files that a vendor keeps for the models that it serves: what can be done with them, and what is checked before."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

import msgspec

from exai.protocol.errors import ContentTooLarge, InvalidValue

_PIECE = 256 * 1024  # bytes
_FILE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class VendorFile(msgspec.Struct, frozen=True):
    """`id` is the vendor's. `size_bytes` and `created_at` (epoch seconds) are None where it does not say."""

    id: str
    name: str
    size_bytes: int | None = None
    created_at: int | None = None
    purpose: str = ""
    status: str = ""


class FileRules(msgspec.Struct, frozen=True):
    """What a vendor takes. `suffixes`: of names, in lower case."""

    purpose: str
    max_bytes: int
    suffixes: frozenset[str]


class VendorFiles(Protocol):
    """All methods raise `HubError`s."""

    @property
    def name(self) -> str:
        """The vendor's."""
        ...

    @property
    def rules(self) -> FileRules: ...

    async def upload(self, *, name: str, size_bytes: int, content: AsyncIterable[bytes] | Path) -> VendorFile:
        """Streams a file of exactly that size to the vendor; refused before anything is sent where it takes no such
        file."""
        ...

    async def list(self) -> tuple[VendorFile, ...]: ...
    async def delete(self, file_id: str) -> None: ...
    async def close(self) -> None: ...


class ReadableVendorFiles(VendorFiles, Protocol):
    async def content(self, file_id: str) -> str:
        """What the vendor read out of the file, in the form in which its models are sent it."""
        ...


def check_upload(vendor: str, rules: FileRules, *, name: str, size_bytes: int) -> None:
    """Raises `InvalidValue` or `ContentTooLarge`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in rules.suffixes:
        taken = " ".join(sorted(rules.suffixes))
        raise InvalidValue(f"{vendor} does not read {suffix or 'files without a suffix'}. It reads {taken}.", name=name)
    if size_bytes <= 0:
        raise InvalidValue(f"{name} is empty.", size_bytes=size_bytes)
    if size_bytes > rules.max_bytes:
        raise ContentTooLarge(
            f"{name} has {size_bytes} bytes; {vendor} takes {rules.max_bytes // 2**20} MiB.",
            size_bytes=size_bytes,
            limit=rules.max_bytes,
        )


def is_id(text: str) -> bool:
    """Whether it may be the id of a vendor's file."""
    return _FILE_ID.fullmatch(text) is not None


def checked_id(file_id: str) -> str:
    """An id that may stand in a path. Raises `InvalidValue`."""
    if not is_id(file_id):
        raise InvalidValue("This is no id of a vendor's file.", file_id=file_id[:200])
    return file_id


async def pieces_of(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file's content, read beside the event loop."""
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece

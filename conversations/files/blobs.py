"""The bytes of files, in the storage that the settings name. All of it blocks: call it on a thread."""

import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar, cast

from django.core.exceptions import SuspiciousOperation
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from conversations.files.errors import StorageAway
from conversations.files.staging import Staged, Staging
from exai.settings.file_storage import files_dir
from exai.settings.hub import hub_settings

logger = logging.getLogger(__name__)

_COPY_BYTES = 1024 * 1024
Result = TypeVar("Result")


class ByteStream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class _RangeReader(Protocol):
    def read_range(self, name: str, first: int, last: int) -> ByteStream: ...


class _StagedFile(File):  # type: ignore[type-arg]
    """What a storage moves into place, where it can, instead of copying."""

    def temporary_file_path(self) -> str:
        return str(self.name)


class Blobs:
    def __init__(self, storage: Storage, staging: Staging) -> None:
        self._storage = storage
        self._local = storage if isinstance(storage, FileSystemStorage) else None
        self.staging = staging

    def new_path(self, workspace: str, sha256: str) -> str:
        """Where bytes may be put: a path is given once, so that a late removal never meets newer bytes."""
        return f"{workspace}/{sha256[:2]}/{sha256}.{secrets.token_hex(8)}"

    def put(self, staged: Staged, storage_path: str) -> None:
        """Durable when it returns. Raises `StorageAway`."""
        if self._local is not None:
            local = self._local
            reaching(lambda: _move_into_place(staged, local, storage_path))
            return
        with staged.path.open("rb") as content:
            reaching(lambda: self._storage.save(storage_path, File(content)))

    def delete(self, storage_path: str) -> None:
        """That there are none is no error. Raises `StorageAway`."""
        with suppress(FileNotFoundError):
            reaching(lambda: self._storage.delete(storage_path))

    def are_there(self, storage_path: str) -> bool:
        """Raises `StorageAway`."""
        try:
            return bool(reaching(lambda: self._storage.exists(storage_path)))
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Stores a few bytes as files are stored, reads them back and removes them. Raises `StorageAway`, `OSError`."""
        path, content = f".check/{secrets.token_hex(8)}", secrets.token_bytes(16)
        staged = reaching(self.staging.create)
        try:
            reaching(lambda: staged.write(content))
            self.put(staged, path)
        finally:
            staged.discard()
        try:
            stored = self.open(path, first=0, last=len(content) - 1)
            try:
                if stored.read(len(content)) != content:
                    raise OSError("what was read is not what was stored")
            finally:
                stored.close()
        finally:
            self.delete(path)

    def local_path(self, storage_path: str) -> Path | None:
        """The file itself, where the storage is a folder of this machine. Raises `FileNotFoundError`."""
        local = self._local
        return reaching(lambda: Path(local.path(storage_path))) if local is not None else None

    def open(self, storage_path: str, *, first: int, last: int) -> ByteStream:
        """The bytes from `first` on; reading may stop at `last`, which is included. Raises `FileNotFoundError`,
        `StorageAway`."""
        if self._local is None:
            reader = cast(_RangeReader, self._storage)
            return reaching(lambda: reader.read_range(storage_path, first, last))
        local = self._local
        file = reaching(lambda: Path(local.path(storage_path)).open("rb"))  # noqa: SIM115  the caller's
        file.seek(first)
        return file

    def copy_out(self, storage_path: str, size_bytes: int) -> Staged:
        """A copy of its own on this machine, to be discarded by the caller. Raises `FileNotFoundError`,
        `StorageAway`."""
        copy = self.staging.create()
        try:
            stream = self.open(storage_path, first=0, last=max(0, size_bytes - 1)) if size_bytes else None
            while stream is not None and (piece := reaching(lambda: stream.read(_COPY_BYTES))):
                copy.write(piece)
        except BaseException:
            copy.discard()
            raise
        return copy


def _move_into_place(staged: Staged, storage: FileSystemStorage, storage_path: str) -> None:
    folder = Path(storage.path(storage_path)).parent
    there = _nearest_there(folder)
    staged.sync()
    storage.save(storage_path, _StagedFile(None, str(staged.path)))
    _sync_folders(folder, there)


def reaching(deed: Callable[[], Result]) -> Result:
    """What storages and their libraries raise is `StorageAway`; `FileNotFoundError` stays, and is raised for a path
    that leads out of the storage, as an imported one may: there is nothing of ours.

    boto's errors are known by their module: without a bucket it is not imported."""
    try:
        return deed()
    except FileNotFoundError:
        raise
    except SuspiciousOperation:
        raise FileNotFoundError from None
    except OSError as error:
        logger.error("The storage of files failed: %s", error)
        raise StorageAway from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("botocore", "boto3", "s3transfer", "urllib3"):
            logger.error("The bucket of files failed: %s", type(error).__name__)
            raise StorageAway from error
        raise


def _nearest_there(folder: Path) -> Path:
    """The nearest folder above that is there: below it all is new."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _sync_folders(folder: Path, top: Path) -> None:
    """A name is durable when its folder is; a new folder's name stands in the one above."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder in (top, folder.parent):
            return
        folder = folder.parent


@cache
def hub_blobs() -> Blobs:
    """This process's."""
    return Blobs(storages["files"], Staging(files_dir(hub_settings()) / ".incoming"))

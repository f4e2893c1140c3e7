"""Tries what every call needs, for the tool self-check: each part is used as a call would use it."""

import asyncio
import base64
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from conversations.files.blobs import Blobs
from conversations.files.errors import StorageAway
from exai.extraction.runner import extract
from exai.tools.hub import Check, CheckStatus

_PATIENCE_S = 5.0
_GIB = 1024**3
_LITTLE_BYTES = 2 * _GIB
_TOO_LITTLE_BYTES = _GIB // 4
# A picture of one pixel: documents and pictures are read by a process of their own, which must be able to start.
_SAMPLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mOwjr4NAAJGAXIE1Xa3AAAAAElFTkSuQmCC"
)

Components = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]


class SelfChecks:
    """`folder`: where the hub keeps what it keeps on this machine; it need not exist yet."""

    def __init__(self, *, components: Components, blobs: Blobs, folder: Path) -> None:
        self._components = components
        self._blobs = blobs
        self._folder = folder

    async def run(self) -> Sequence[Check]:
        """Never raises."""
        components, files, reading, room = await asyncio.gather(
            self._components(), self._files(), self._reading(), asyncio.to_thread(self._room)
        )
        return (*(_of_component(name, state) for name, state in components.items()), files, reading, room)

    async def _files(self) -> Check:
        advice = "Look whether the folder of files can be written to, or the bucket be reached (EXAI_S3_…)."
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.to_thread(self._blobs.check)
        except TimeoutError:
            return Check("file_store", "fail", f"It took longer than {_PATIENCE_S:g} s to store a file.", advice)
        except (StorageAway, OSError) as error:
            return Check("file_store", "fail", f"Files cannot be stored ({type(error).__name__}).", advice)
        return Check("file_store", "ok", "A file was stored, read back and removed.")

    async def _reading(self) -> Check:
        advice = "Files that come with calls cannot be read for models: look into the hub's log, and start it again."
        try:
            async with asyncio.timeout(_PATIENCE_S):
                with await asyncio.to_thread(_sample) as file:
                    read = await extract(file, mime_type="image/png", name="self-check.png")
        except TimeoutError:
            return Check("extraction", "fail", f"It took longer than {_PATIENCE_S:g} s to read a file.", advice)
        except OSError as error:
            return Check("extraction", "fail", f"No file can be made ({type(error).__name__}).", advice)
        if not read.image:
            return Check("extraction", "fail", read.problem or "A file was read wrongly.", advice)
        return Check("extraction", "ok", "A file was read, by a process of its own.")

    def _room(self) -> Check:
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return Check("disk", "fail", f"Its room cannot be told ({type(error).__name__}).", "Look at EXAI_DATA_DIR.")
        said = f"{free / _GIB:.1f} GiB are free for the hub's data."
        if free >= _LITTLE_BYTES:
            return Check("disk", "ok", said)
        status: CheckStatus = "fail" if free < _TOO_LITTLE_BYTES else "warn"
        return Check("disk", status, said, "Make room on that disk, or move EXAI_DATA_DIR to another.")


def _sample() -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115  its reader closes it
    file.write(_SAMPLE)
    file.seek(0)
    return file


_ADVICE = {
    "database": "Look whether PostgreSQL runs, and at DATABASE_URL. Until then no conversation goes on.",
    "redis": "Look whether Redis runs, and at REDIS_URL. Until then calls run under half of the limits.",
}


def _of_component(name: str, state: Mapping[str, Any]) -> Check:
    if state["status"] == "ok":
        return Check(name, "ok", f"It answered in {state['latency_ms']} ms.")
    # The hub works on without Redis, with less.
    status: CheckStatus = "warn" if name == "redis" else "fail"
    return Check(name, status, f"It does not answer ({state.get('message', 'no reason given')}).", _ADVICE[name])

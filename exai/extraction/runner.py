"""Reads a file for a model: text right here, all else in a process of its own."""

import asyncio
import logging
import os
import stat
from pathlib import Path, PurePath
from typing import BinaryIO

from exai.extraction.child import ChildFailed, read_in_child
from exai.extraction.exchange import Request
from exai.extraction.extracted import Extracted
from exai.extraction.limits import DEFAULT_LIMITS, Limits
from exai.extraction.mime_types import DOCUMENTS, IMAGES, OCTET_STREAM, ZIP
from exai.extraction.sniffing import Sniffed, sniff
from exai.extraction.texts import read_text

__all__ = ["DEFAULT_LIMITS", "Extracted", "Limits", "extract"]

logger = logging.getLogger(__name__)

# Each may take a processor and its address space; calls beyond wait their turn. A semaphore belongs to its loop.
AT_ONCE = 2
_places: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}

# What names promise, where nothing of it is found in the file.
_PROMISING = {".pdf", ".docx", ".xlsx", ".pptx", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}


async def extract(file: Path | BinaryIO, *, mime_type: str, name: str, limits: Limits = DEFAULT_LIMITS) -> Extracted:
    """The text or the picture of a file. `mime_type`: as `sniff` told it. An open file is read from its beginning.

    `name` only tells what kind of file was meant. Never raises for a bad file: `problem` says what is wrong with it.
    """
    try:
        # Nothing is left open when this is cancelled: a descriptor is closed with the object that has it.
        opened = await asyncio.to_thread(_open, file) if isinstance(file, Path) else _open(file)
        if mime_type not in IMAGES | DOCUMENTS:
            return await asyncio.to_thread(_read_here, opened, name, limits)
        with opened:
            async with _place():
                request = Request(descriptor=opened.fileno(), mime_type=mime_type, limits=limits)
                reply = await read_in_child(request)
    except OSError as error:
        logger.warning("A file of type %s could not be opened: %s", mime_type, type(error).__name__)
        return Extracted(problem="It could not be opened.")
    except ChildFailed as failure:
        logger.warning("Reading a file of type %s failed: %s", mime_type, failure.ending)
        return Extracted(problem=str(failure))
    if reply.fault:
        logger.info("Reading a file of type %s failed: %s", mime_type, reply.fault)
    return reply.extracted


def _open(file: Path | BinaryIO) -> BinaryIO:
    """A file of our own: the one that it came from may be closed meanwhile."""
    if not isinstance(file, Path):
        return os.fdopen(os.dup(file.fileno()), "rb")
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def _place() -> asyncio.Semaphore:
    for loop in [loop for loop in _places if loop.is_closed()]:
        _places.pop(loop, None)
    return _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


def _read_here(opened: BinaryIO, name: str, limits: Limits) -> Extracted:
    with opened as file:
        found = sniff(file, name=name)
        if found.problem:
            return Extracted(problem=_beside_its_name(found, name))
        if not found.is_text:
            return Extracted(problem=f"It was taken for text, but is of type {found.mime_type}.")
        file.seek(0)
        return read_text(file, limits)


def _beside_its_name(found: Sniffed, name: str) -> str:
    suffix = PurePath(name[-20:]).suffix.lower()
    if found.mime_type in {ZIP, OCTET_STREAM} and suffix in _PROMISING:
        return f"Its name says {suffix}, but it is no such file, or a damaged one. {found.problem}"
    return found.problem

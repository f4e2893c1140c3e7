"""Reads a file for a model."""

import asyncio
from pathlib import Path
from typing import BinaryIO

from exai.extraction.extracted import Extracted
from exai.extraction.limits import DEFAULT_LIMITS, Limits
from exai.extraction.sniffing import DOCUMENTS, IMAGES, sniff
from exai.extraction.texts import read_text

__all__ = ["DEFAULT_LIMITS", "Extracted", "Limits", "extract"]


async def extract(file: Path | BinaryIO, *, mime_type: str, name: str, limits: Limits = DEFAULT_LIMITS) -> Extracted:
    """The text or the picture of a file. `mime_type`: as `sniff` told it. An open file is read from its beginning.

    Never raises for a bad file: `problem` says what is wrong with it.
    """
    return await asyncio.to_thread(_read_here, file, mime_type, name, limits)


def _read_here(file: Path | BinaryIO, mime_type: str, name: str, limits: Limits) -> Extracted:
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return _read_here(opened, mime_type, name, limits)
        found = sniff(file, name=name)
        if found.problem or mime_type in IMAGES | DOCUMENTS:
            return Extracted(problem=found.problem or "Files of this kind cannot be read yet.")
        file.seek(0)
        return read_text(file, limits)
    except OSError:
        return Extracted(problem="It could not be opened.")

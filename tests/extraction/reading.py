"""Reads a file as the hub does: its type by its content, then what a model is told of it."""

from pathlib import Path

from exai.extraction.runner import DEFAULT_LIMITS, Extracted, Limits, extract
from exai.extraction.sniffing import sniff


async def read(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Extracted:
    return await extract(path, mime_type=sniff(path, name=path.name).mime_type, name=path.name, limits=limits)

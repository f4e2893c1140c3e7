"""How fast a large file is taken, hashed and stored, and what memory that takes."""

import asyncio
import hashlib
import http.client
import os
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil

from tests.benchmarks.connections import BenchmarkError
from tests.benchmarks.sides import EchoSide, HubSide, Setting

_BLOCK = os.urandom(1024 * 1024)
_MEGABYTE = 1e6
_PATIENCE_S = 120.0
_WARM_UP_BYTES = 3_000_000
_BOUNDARY = "benchmark"


async def measure_uploads(setting: Setting) -> None:
    size = setting.plan.upload_bytes
    sides: list[HubSide | EchoSide] = [*setting.hubs, setting.echo]
    for side in sides:
        if not await asyncio.to_thread(_upload, side, _WARM_UP_BYTES):
            continue  # a commit that takes no files
        hashed_s = await asyncio.to_thread(_seconds_to_hash, size)
        taken = await asyncio.to_thread(_upload, side, size)
        if taken is None:
            raise BenchmarkError("An upload was refused.")
        lasted_s, memory_bytes = taken
        setting.samples.add("upload_rate", side.side, size / _MEGABYTE / lasted_s)
        setting.samples.add("upload_memory", side.side, memory_bytes / _MEGABYTE)
        if side.side != "baseline":
            setting.samples.add("upload_by_hash", side.side, hashed_s / lasted_s * 100)


def _upload(side: HubSide | EchoSide, size: int) -> tuple[float, int] | None:
    """Seconds until it was answered, and by how many bytes the process grew meanwhile; None when it was refused."""
    process = psutil.Process(side.pid)
    before = most = process.memory_info().rss
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()

    def body() -> Iterator[bytes]:
        nonlocal most
        yield head + os.urandom(16)  # no content comes twice
        left = size - 16
        while left > 0:
            yield _BLOCK[:left]
            left -= len(_BLOCK)
            most = max(most, process.memory_info().rss)
        yield tail

    connection = http.client.HTTPConnection(urlsplit(side.http_url).netloc, timeout=_PATIENCE_S)
    headers = {
        "Authorization": f"Bearer {side.token}",
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Content-Length": str(len(head) + size + len(tail)),
    }
    began = time.perf_counter()
    try:
        connection.request("POST", "/api/files/", body(), headers)
        response = connection.getresponse()
        response.read()
    except (BrokenPipeError, ConnectionResetError):
        return None
    finally:
        connection.close()
    lasted_s = time.perf_counter() - began
    most = max(most, process.memory_info().rss)
    return (lasted_s, most - before) if response.status in (200, 201) else None


def _seconds_to_hash(size: int) -> float:
    began = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(max(1, size // len(_BLOCK))):
        digest.update(_BLOCK)
    return time.perf_counter() - began

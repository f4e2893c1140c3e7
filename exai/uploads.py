"""Uploads files to a hub, for clients of the tool protocol: `POST /api/files/` with the same token."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from exai.client import ClientError

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
_SOCKET_PATH = "/ws/tools"
_TICK_S = 1.0
_CONNECT_WITHIN_S = 10.0
_SILENCE_S = 120.0  # the hub may take long to store, and a slow line long to send
_LONGEST_REASON = 500

OnProgress = Callable[[int], None]  # bytes that have been read of the file


class UploadFailed(ClientError):
    """The hub did not take the file; `status` is that of HTTP, None where nothing was answered."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def files_url(ws_url: str) -> str:
    """Where a hub takes files whose tools are at this ws:// or wss:// URL."""
    parts = urlsplit(ws_url)
    prefix = parts.path.rstrip("/").removesuffix(_SOCKET_PATH)
    return urlunsplit((_HTTP_SCHEMES.get(parts.scheme, parts.scheme), parts.netloc, f"{prefix}/api/files/", "", ""))


async def upload(path: Path, *, url: str, token: str, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Sends a file from disk as it is read; gives what the hub says of it: id, sha256, size, mime_type, duplicate.

    `url` as from `files_url`. `on_progress` is called every second. Raises `UploadFailed`, and `OSError` where the file
    cannot be read.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S, sock_read=_SILENCE_S)
    with await asyncio.to_thread(_open, path) as file:
        form = aiohttp.FormData(quote_fields=False)  # as browsers do: UTF-8, with only quotes escaped
        # A header takes neither line ends nor names that are no text.
        name = "".join(character if character.isprintable() else "_" for character in path.name)
        form.add_field("file", file, filename=name, content_type="application/octet-stream")
        async with aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {token}"}) as session:
            sending = asyncio.create_task(_send(session, url, form, path.name))
            try:
                while not sending.done():
                    await asyncio.wait({sending}, timeout=_TICK_S)
                    if on_progress is not None and not sending.done():
                        on_progress(os.lseek(file.fileno(), 0, os.SEEK_CUR))
                return sending.result()
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, UploadFailed):
                    await sending


def _open(path: Path) -> BinaryIO:
    # By its descriptor, for aiohttp would try to write the name of an open file into a header by itself.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")


async def _send(session: aiohttp.ClientSession, url: str, form: aiohttp.FormData, name: str) -> dict[str, Any]:
    try:
        async with session.post(url, data=form, allow_redirects=False) as response:
            try:
                answer = await response.json(content_type=None)
            except ValueError:
                answer = None
    except (aiohttp.ClientError, OSError) as error:
        raise UploadFailed(f"{name} could not be uploaded to {url} ({type(error).__name__}).") from None
    if response.status in (200, 201) and isinstance(answer, dict) and isinstance(answer.get("id"), str):
        return answer
    raise UploadFailed(f"{name} was not taken: {_reason(response.status, answer)}", response.status)


def _reason(status: int, answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message[:_LONGEST_REASON] if isinstance(message, str) else f"{status} was answered, not as an EXAI hub does."

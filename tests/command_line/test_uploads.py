"""The uploading client against servers of many kinds: it streams, tells how far it is, and fails in words."""

import asyncio
import hashlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from exai import uploads
from exai.uploads import UploadFailed, files_url, upload

_MEBIBYTE = 1024 * 1024


@asynccontextmanager
async def server(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Takes uploads; its ws:// address."""
    application = web.Application(client_max_size=0)
    application.router.add_post("/prefix/api/files/", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/prefix/ws/tools/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("ws_url", "url"),
    [
        ("ws://127.0.0.1:8079/", "http://127.0.0.1:8079/api/files/"),
        ("ws://127.0.0.1:8079/ws/tools/", "http://127.0.0.1:8079/api/files/"),
        ("wss://hub.example/ws/tools", "https://hub.example/api/files/"),
        ("wss://hub.example/exai/ws/tools/?x=1#y", "https://hub.example/exai/api/files/"),
        ("wss://hub.example/exai", "https://hub.example/exai/api/files/"),
    ],
)
def test_files_go_where_the_tools_are(ws_url: str, url: str) -> None:
    assert files_url(ws_url) == url


async def test_a_large_file_is_streamed_with_its_length_and_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_TICK_S", 0.001)
    path = tmp_path / 'a "quoted" ü.bin'
    with path.open("wb") as file:
        for number in range(64):
            file.write(bytes([number]) * _MEBIBYTE)
    got: dict[str, object] = {}

    async def take(request: web.Request) -> web.Response:
        got["authorization"] = request.headers["Authorization"]
        got["announced"] = request.content_length is not None and request.content_length > 64 * _MEBIBYTE
        part = await anext(aiter(await request.multipart()))
        digest, size = hashlib.sha256(), 0
        while piece := await part.read_chunk(_MEBIBYTE):  # type: ignore[union-attr]
            digest.update(piece)
            size += len(piece)
        got.update(name=part.filename, field=part.name, sha256=digest.hexdigest(), size=size)  # type: ignore[union-attr]
        return web.json_response({"id": "the id"}, status=201)

    seen: list[int] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with server(take) as url:
        answer = await upload(path, url=files_url(url), token="the-token", on_progress=seen.append)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert answer == {"id": "the id"}
    assert got == {
        "authorization": "Bearer the-token",
        "announced": True,
        "name": path.name,
        "field": "file",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": 64 * _MEBIBYTE,
    }
    assert grown_mib < 40
    assert seen == sorted(seen)
    assert len(seen) > 1


async def test_a_name_that_is_no_header_still_goes(tmp_path: Path) -> None:
    path = tmp_path / "a\r\nX: y\udcff.txt"
    path.write_text("x")
    names: list[object] = []

    async def take(request: web.Request) -> web.Response:
        names.append((await anext(aiter(await request.multipart()))).filename)  # type: ignore[union-attr]
        await request.read()
        return web.json_response({"id": "the id"})

    async with server(take) as url:
        await upload(path, url=files_url(url), token="t")
    assert names == ["a__X: y_.txt"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (413, '{"error": {"code": "CONTENT_TOO_LARGE", "message": "Too large."}}', "was not taken: Too large."),
        (500, "<html>oops</html>", "500 was answered"),
        (201, "[]", "201 was answered"),
        (200, '{"id": 5}', "200 was answered"),
        (302, "", "302 was answered"),
    ],
)
async def test_an_upload_that_is_refused_says_why(tmp_path: Path, status: int, body: str, said: str) -> None:
    (tmp_path / "a.py").write_text("x")

    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text=body, headers={"Location": "http://127.0.0.1:1/"})

    async with server(refuse) as url:
        with pytest.raises(UploadFailed, match=said) as caught:
            await upload(tmp_path / "a.py", url=files_url(url), token="t")
    assert caught.value.status == status


async def test_where_nobody_takes_uploads_it_fails_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    with pytest.raises(UploadFailed, match="could not be uploaded") as caught:
        await upload(tmp_path / "a.py", url=files_url("ws://127.0.0.1:1/"), token="secret-token")
    assert caught.value.status is None
    assert "secret-token" not in str(caught.value)


async def test_an_upload_that_is_given_up_leaves_its_connection(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    has_begun, is_gone = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_gone.set()
        raise AssertionError

    async with server(hang) as url:
        uploading = asyncio.create_task(upload(tmp_path / "a.py", url=files_url(url), token="t"))
        await has_begun.wait()
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        await asyncio.wait_for(is_gone.wait(), 10)
